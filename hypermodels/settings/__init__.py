"""The settings of one network and its training: sections, resolved configurations, presets."""
