"""The store and the connections to it."""
