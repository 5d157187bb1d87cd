"""``[identity]``: the key of the digests of users and tokens."""

from __future__ import annotations

from dataclasses import dataclass, field

from gateway.config.reader import Section

MINIMUM_KEY_BYTES = 32


@dataclass(frozen=True, slots=True)
class IdentityConfig:
    """The key of the digests of users and tokens; ``None`` is the key file in the data directory."""

    key: bytes | None = field(default=None, repr=False)


def read_identity(root: Section) -> IdentityConfig:
    section = root.table("identity")
    text = section.string("key")
    section.close()
    if not text:
        return IdentityConfig()
    if len(text.encode()) < MINIMUM_KEY_BYTES:
        section.fault("key", "is too short", f"use at least {MINIMUM_KEY_BYTES} random characters")
    return IdentityConfig(key=text.encode())
