"""The command line: parses and calls the API, nothing more."""
