"""Runs the gateway under load and a profiler, and names the functions that cost the most."""
