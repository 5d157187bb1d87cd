"""Which code answers a public path."""
