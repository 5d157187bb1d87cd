"""How much of a message is looked at: every bound on work that a stranger's bytes can ask for, by name.

A request or an answer that is over one of them is refused, or taken for one that nobody can read, before anything is
built of it. What is within them is O(bytes) with a small constant, or is done in steps (`providers.steps`), so that
everybody else has a turn between two. docs/limits.md states these numbers.
"""

from __future__ import annotations

from typing import Final

# -- a request's body ---------------------------------------------------------------------------

UNCOUNTED_BYTES: Final = 65_536
"""A body up to this size can hold too little of anything to be counted first."""

CONTAINERS: Final = 100_000
"""Objects and lists of a body. Far more than the longest conversation has, with its tools and their results."""

VALUES: Final = 200_000
"""Values of a body, by the commas between them."""

TOKEN_VALUES: Final = 400_000
"""The same where a prompt may be given as tokens (legacy completions, embeddings: at most 300,000 a request)."""

MEMBERS: Final = 1_000
"""Members of one object among the upper levels of a body, which are read by name."""

UPPER_LEVELS: Final = 3
"""The body itself, a list in it, and that list's elements: below them an object may be data."""

NAME_BYTES: Final = 4_096
"""The longest name of a member."""

LOOSE_BYTES: Final = 8 << 20
"""What is outside of strings: structure, numbers and blanks."""

BACKSLASHES: Final = 2_000_000
"""Backslashes of a body: a prompt in escaped Chinese that no model can hold has fewer."""

DEPTH: Final = 200
"""Lists and objects inside of each other."""

# -- a provider's answer ------------------------------------------------------------------------

ANSWER_ELEMENTS: Final = 1_000
"""Objects and lists that are read out of one body or event: choices, candidates, items, contents. One with more is no
answer."""

ANSWER_MEMBERS: Final = 4_000
"""Members that are looked at in one body or event to find those that are wanted."""

ELEMENT_BYTES: Final = 128
"""Bytes of an element of a list that is a stream, on average over what arrives at a time."""

ANSWER_BRACKETS: Final = 4_096
"""Brackets of a body or event that is decoded at once; of one with more, code in its strings for one, only what is
wanted is."""

DENSE_BYTES: Final = 4_096
"""From this size on, what arrives at a time is looked at for its density."""

LINE_BYTES: Final = 24
"""Bytes of a line of a stream, on average over what arrives at a time: no API's events have so few."""

BRACKET_BYTES: Final = 8
"""The same of brackets: with more, it is neither text, nor code, nor vectors."""

UNPACKED: Final = 8
"""How many times its size a packed answer may have, on average over what arrives at a time."""

UNPACKED_BYTES: Final = 65_536
"""So much may come out of it in any case."""

UNPACKED_LINES: Final = 2_000
"""Lines that may come out of it at a time."""

ITERATIONS: Final = 256
"""Model requests of one answer that its usage may list."""

# -- steps ----------------------------------------------------------------------------------------

STEP_BYTES: Final = 65_536
"""Bytes that one step looks at closely."""

STEP_ELEMENTS: Final = 128
"""Elements of a list that one step works on."""
