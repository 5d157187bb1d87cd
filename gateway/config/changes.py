"""What a new version of gateway.toml changes in a gateway that runs.

Rules:

1. A reload takes what decides about requests (`RELOADED`, and of ``[server]`` `RELOADED_OF_SERVER`). Everything else is
   wired into sockets, the store or other processes, and waits for a restart: it is named.
2. Names are those of the file: tables, keys, and names that the operator gives. Never a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from typing import Final

from gateway.config import Config
from gateway.names import Closed

RELOADED: Final = ("providers", "models", "tiers", "billing", "policy", "routing")
RELOADED_OF_SERVER: Final = (
    "body_timeout",
    "attempts_timeout",
    "opening_timeout",
    "keep_alive_seconds",
    "abort_grace",
)


@dataclass(frozen=True, slots=True)
class Changes:
    """``config`` is the running one with what a reload takes of the new one. The names of what it takes, and of what
    differs and waits for a restart.
    """

    config: Config
    changed: tuple[Closed, ...]
    needs_restart: tuple[Closed, ...]


@dataclass(frozen=True, slots=True)
class Reloaded:
    """What a reload did: the names as in `Changes`, and in how many workers it holds."""

    changed: tuple[Closed, ...]
    needs_restart: tuple[Closed, ...]
    workers: int


def changes(running: Config, new: Config) -> Changes:
    """What the new version changes."""
    server = {name: getattr(new.server, name) for name in RELOADED_OF_SERVER}
    merged = replace(
        running,
        server=replace(running.server, **server),
        **{name: getattr(new, name) for name in RELOADED},
    )
    return Changes(merged, tuple(_differing(running, merged)), tuple(_differing(merged, new)))


def _differing(one: Config, other: Config) -> Iterator[Closed]:
    return (Closed(name) for name in _names_of_differences(one, other))


def _names_of_differences(one: Config, other: Config) -> Iterator[str]:
    for field in fields(Config):
        before, after = getattr(one, field.name), getattr(other, field.name)
        if before == after or field.name == "path":
            continue
        if field.name == "server":
            names = [key.name for key in fields(before)]
            yield from (f"server.{name}" for name in names if getattr(before, name) != getattr(after, name))
            continue
        named = _by_name(before), _by_name(after)
        if named[0] is None or named[1] is None:
            yield field.name
            continue
        names = [name for name in {**named[0], **named[1]} if named[0].get(name) != named[1].get(name)]
        yield from (f"{field.name}.{name}" for name in names)
        if not names:  # their order
            yield field.name


def _by_name(value: object) -> Mapping[str, object] | None:
    """The parts of a table of named parts; ``None`` if it is not one."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, tuple):
        return {part.name: part for part in value}
    return None
