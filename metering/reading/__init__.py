"""Reads usage records: pages, cursors and consumers."""
