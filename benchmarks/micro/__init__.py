"""Timings of the pieces of the hot path, with pytest-benchmark: ``python -m benchmarks micro``."""
