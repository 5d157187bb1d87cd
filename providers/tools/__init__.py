"""Tools that run at the provider: which exist, and which a request switches on."""
