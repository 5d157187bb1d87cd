"""Which models exist, where they are served and at what price."""
