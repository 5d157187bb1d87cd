"""Whether an object goes from state to state only as its module says.

A module with a ``state`` has its transitions in its docstring, one a line: ``    FROM -> TO  what leads there``. ``any``
stands for every state.
"""

from __future__ import annotations

import re
from enum import Enum
from types import ModuleType
from typing import Any

LINE = re.compile(r"^    (any|[A-Z]+) +-> ([A-Z]+)  ", re.MULTILINE)


def documented(module: ModuleType, states: type[Enum]) -> set[tuple[Any, Any]]:
    """The transitions that a module's docstring lists; from a state to itself is none."""
    lines = LINE.findall(module.__doc__ or "")
    assert len(lines) > 3
    found = {
        (one, states[after]) for before, after in lines for one in (states if before == "any" else [states[before]])
    }
    return {(before, after) for before, after in found if before is not after}


def watched(kind: type, seen: set[tuple[Any, Any]]) -> type:
    """A class of the same objects, whose changes of state are noted in ``seen``."""

    class Watched(kind):
        @property
        def state(self):
            return self._state_seen

        @state.setter
        def state(self, after):
            before = getattr(self, "_state_seen", after)
            if before is not after:
                seen.add((before, after))
            self._state_seen = after

    return Watched
