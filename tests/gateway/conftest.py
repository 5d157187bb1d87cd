"""What is built on the event loop's transports is tested on both kinds: they queue, and close, in ways of their own."""

import asyncio

import uvloop


def pytest_asyncio_loop_factories(config, item):
    """A module with ``BOTH_LOOPS = True`` runs on both; the worker runs on uvloop."""
    factories = {"asyncio": asyncio.new_event_loop}
    if getattr(item.module, "BOTH_LOOPS", False):
        factories["uvloop"] = uvloop.new_event_loop
    return factories
