"""Which user an account belongs to, and the rights of its owner."""
