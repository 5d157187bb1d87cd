"""Whose token this is, and what it allows."""
