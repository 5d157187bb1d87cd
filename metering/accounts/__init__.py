"""Whose account it is, and what its owner has a right to."""
