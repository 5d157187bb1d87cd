"""``python -m benchmarks``: load, compare, report, micro, profile, all, simulator."""

from benchmarks.cli import main

if __name__ == "__main__":
    main()
