"""The load generator: raw asyncio protocols on uvloop, in a process of its own.

Closed loop (a fixed number of callers, each waiting for its answer) and open loop (requests arrive
at a rate, whether or not the earlier ones were answered), in three dialects, against any URL and token:
``python -m benchmarks load streams --url http://127.0.0.1:8080 --token T --model M``.
"""
