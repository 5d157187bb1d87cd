"""Bringing requests to their end, whoever started them."""
