"""From a configuration to a network: built, its attention inserted, counted, checked, exported."""
