"""From a configuration to a network: built, placed, counted, checked, and as it leaves."""
