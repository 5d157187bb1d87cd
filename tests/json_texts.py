"""JSON as a stranger writes it: names that stand twice, odd blanks, and every escape that a character may have."""

from __future__ import annotations

import json
import random
from typing import Any


class Pairs(list[tuple[str, Any]]):
    """The members of an object, in which a name may stand more than once."""


def tree(value: Any) -> Any:
    """A value whose objects are `Pairs`."""
    if isinstance(value, dict):
        return Pairs((name, tree(inner)) for name, inner in value.items())
    return [tree(inner) for inner in value] if isinstance(value, list) else value


def texts(value: Any, rng: random.Random) -> str:
    """A value as JSON with odd blanks and escapes."""
    blank = rng.choice(["", "", " ", "\n\t"])
    if isinstance(value, Pairs):
        members = (f"{escaped(name, rng)}{blank}:{blank}{texts(inner, rng)}{blank}" for name, inner in value)
        return "{" + blank + f",{blank}".join(members) + "}"
    if isinstance(value, list):
        return "[" + f"{blank},".join(texts(inner, rng) for inner in value) + blank + "]"
    return escaped(value, rng) if isinstance(value, str) else json.dumps(value)


def escaped(text: str, rng: random.Random) -> str:
    """A text as JSON, each character in one of the ways in which it may be written."""
    written = []
    for character in text:
        units = character.encode("utf-16-be").hex()
        ways = ["".join(f"\\u{units[at : at + 4]}" for at in range(0, len(units), 4))]
        if character == "/":
            ways.append("\\/")
        if character >= " ":
            ways.append("\\" + character if character in '"\\' else character)
        written.append(rng.choice(ways))
    return '"' + "".join(written) + '"'
