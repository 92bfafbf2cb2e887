"""The command line: arguments, one file a command, the standard streams. Nothing else prints."""
