"""Work in steps, so that whoever runs it on an event loop can let others have a turn between two of them.

A function that may have much to do is a generator: it yields nothing after each step of bounded work
(`providers.bounds`) and returns its result. The gateway runs it in slices; tools and tests run it `at_once`.
"""

from __future__ import annotations

from collections.abc import Generator
from typing import TypeAlias, TypeVar

T = TypeVar("T")
Steps: TypeAlias = Generator[None, None, T]


def at_once(steps: Steps[T]) -> T:
    """What the steps return, all run in one go."""
    while True:
        try:
            next(steps)
        except StopIteration as ended:
            result: T = ended.value
            return result
