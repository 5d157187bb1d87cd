"""The acts on an account, for the command line, services and the person."""
