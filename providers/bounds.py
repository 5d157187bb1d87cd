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

# -- steps ----------------------------------------------------------------------------------------

STEP_BYTES: Final = 65_536
"""Bytes that one step looks at closely."""

STEP_ELEMENTS: Final = 128
"""Elements of a list that one step works on."""
