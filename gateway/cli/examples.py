"""The examples at the end of each command's help. Only the standard library is imported: every command needs this."""

from __future__ import annotations

PROGRAM = "codegrex-gateway"


def examples(*lines: str) -> str:
    """A command's ``epilog``. Each line is for a shell; the program's name is added where it is missing."""
    shown = (line if PROGRAM in line else f"{PROGRAM} {line}" for line in lines)
    return "\n".join(("\b", "Examples:", *(f"  {line}" for line in shown)))
