"""Watching an answer pass: events, bodies and the counts in them."""
