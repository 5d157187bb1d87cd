"""Faults on a schedule while traffic runs: `python -m benchmarks chaos`."""
