"""Every bound on the work that untrusted bytes can cause, by name.

A request over a bound is refused, and an answer over a bound is treated as unreadable, before anything is
built from it. Work within the bounds is O(bytes) with a small constant, or is done in steps (`providers.steps`), so
that other requests run between two steps. docs/limits.md states these numbers.
"""

from __future__ import annotations

from typing import Final

# -- a request's body ---------------------------------------------------------------------------

UNCOUNTED_BYTES: Final = 65_536
"""A body up to this size is too small to exceed the other bounds, so it is not counted."""

CONTAINERS: Final = 100_000
"""Objects and lists in a body: far more than the longest conversation has, with its tools and their results."""

VALUES: Final = 200_000
"""Values in a body, counted by the commas between them."""

TOKEN_VALUES: Final = 400_000
"""The same if a prompt may be given as tokens (legacy completions, embeddings: at most 300,000 in a request)."""

MEMBERS: Final = 1_000
"""Members of one object on the upper levels of a body, whose members are read by name."""

UPPER_LEVELS: Final = 3
"""The upper levels: the body, a list in it, and that list's elements. Objects below them may be data."""

OBJECT_MEMBERS: Final = 10_000
"""Members of an object below the upper levels, whose names are compared with each other."""

NAME_BYTES: Final = 4_096
"""The longest name of a member."""

LOOSE_BYTES: Final = 8 << 20
"""Bytes outside of strings: structure, numbers and blanks."""

BACKSLASHES: Final = 2_000_000
"""Backslashes in a body: even a prompt in escaped Chinese that is too long for every model has fewer."""

DEPTH: Final = 200
"""The nesting of lists and objects."""

UNCOUNTED_DEPTH: Final = 900
"""The same in a body that is not counted: fewer than the decoders take, on every version of the interpreter."""

# -- a provider's answer ------------------------------------------------------------------------

ANSWER_ELEMENTS: Final = 1_000
"""Objects and lists that are read from one body or event: choices, candidates, items, contents. With more it is not an
answer."""

ANSWER_MEMBERS: Final = 4_000
"""Members whose names are read in one body or event to find the wanted ones."""

ELEMENT_BYTES: Final = 128
"""The least size of an element in a stream that is a JSON list, on average over the bytes that arrive together."""

ANSWER_BRACKETS: Final = 4_096
"""Brackets in a body or event that is decoded as a whole. If it has more, for example code in its strings, only its
wanted members are decoded."""

DENSE_BYTES: Final = 4_096
"""From this size on, bytes that arrive together are checked for their density of lines and brackets."""

LINE_BYTES: Final = 24
"""The least bytes for each line of a stream, on average over the bytes that arrive together; every API has more."""

BRACKET_BYTES: Final = 8
"""The least bytes for each bracket, on the same average: text, code and vectors all have more."""

UNPACKED: Final = 8
"""The highest ratio of decompressed to compressed bytes, on average over the bytes that arrive together."""

UNPACKED_BYTES: Final = 65_536
"""Decompressed bytes that are allowed whatever the ratio."""

UNPACKED_LINES: Final = 2_000
"""Decompressed lines that are allowed for the bytes that arrive together."""

ITERATIONS: Final = 256
"""Model requests that the usage of one answer may list."""

# -- steps ----------------------------------------------------------------------------------------

STEP_BYTES: Final = 65_536
"""Bytes that one step examines closely."""

STEP_ELEMENTS: Final = 128
"""List elements that one step works on."""
