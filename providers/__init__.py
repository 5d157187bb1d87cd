"""The wire formats and what they mean: pure functions over bytes, no I/O and no async."""
