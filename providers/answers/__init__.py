"""Scans an answer as it passes: events, bodies and the counts in them."""
