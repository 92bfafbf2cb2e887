"""From YAML to a validated `Space`, every fault named with its file and line."""
