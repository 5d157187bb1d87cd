"""Hostile users beside honest ones on one gateway: what the honest ones feel of them."""
