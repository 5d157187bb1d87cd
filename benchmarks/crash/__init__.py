"""The failure table, line by line, on real processes: `python -m benchmarks crash`."""
