"""Work in steps, so that an event loop can run other callbacks between two of them.

A function that may take long is a generator: it yields after each step of bounded work
(`providers.bounds`) and returns its result. The gateway runs it in slices; tools and tests run it `at_once`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]


def at_once(steps: Steps[T]) -> T:
    """Run all steps without a pause, and return their result."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            result: T = ended.value
            return result
