"""Secrets replaced on the way out and put back in the answer."""
