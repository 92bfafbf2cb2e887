"""Files that may come from a stranger or be torn: no link is followed, writes are atomic."""
