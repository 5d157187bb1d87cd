"""Whose token it is, and what it allows."""
