"""Signed statements about this installation, and receipts for single requests."""
