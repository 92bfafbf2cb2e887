"""The command line: arguments, one function a verb, the standard streams. Nothing else prints."""
