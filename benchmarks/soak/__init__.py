"""Mixed traffic of IDEs for a long time, and what must not grow meanwhile: `python -m benchmarks soak`."""
