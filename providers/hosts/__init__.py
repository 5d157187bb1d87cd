"""Hosts that serve the API of another maker, and how each differs from it."""
