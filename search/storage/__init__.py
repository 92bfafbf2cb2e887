"""Files that may be a stranger's, or be torn: opened with nothing followed, written whole."""
