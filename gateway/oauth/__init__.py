"""Device grants, tokens, refresh and revocation."""
