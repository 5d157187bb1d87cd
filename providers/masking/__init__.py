"""Replaces secrets in the request to a provider, and restores them in the answer."""
