"""``python -m benchmarks``: load, compare, floor, report, micro, estimates, profile, crash, hostile, all, simulator."""

from benchmarks.cli import main

if __name__ == "__main__":
    main()
