"""Finds the code that answers a public path."""
