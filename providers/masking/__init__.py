"""Secrets replaced in the request to a provider and restored in the answer."""
