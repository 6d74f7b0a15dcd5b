"""The command line: thin, one file a command, imported only when called."""
