"""The names of the ledger's keys, and which of the 256 partitions an account lives in.

Rules:

1. ``p = crc16(pid) % 256`` is fixed for ever: records already written are found by it.
2. Every key of one account carries the tag ``{p}``, so that one call touches one Cluster slot.
3. Names are made of ids that the gateway drew itself. What comes from outside (a grant's id, a
   user's id) enters a name only as a digest.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from hashlib import blake2b

PARTITIONS = 256
CLUSTER_SLOTS = 16384

_TAGS = tuple(f"m:{{{p}}}:" for p in range(PARTITIONS))
_SLOTS = tuple(crc_hqx(str(p).encode(), 0) % CLUSTER_SLOTS for p in range(PARTITIONS))
_ID = re.compile(r"[A-Za-z0-9_-]{1,64}")


def partition(pid: str) -> int:
    """The partition of an account: CRC-16/XMODEM (the CRC of Redis Cluster) modulo 256."""
    return crc_hqx(pid.encode(), 0) % PARTITIONS


def slot(p: int) -> int:
    """The Cluster slot of a partition's tag."""
    return _SLOTS[p]


def tag(p: int) -> str:
    """The prefix ``m:{p}:`` of every key of a partition."""
    return _TAGS[p]


def usage_stream(p: int) -> str:
    """The stream of a partition's usage records."""
    return f"{_TAGS[p]}usage"


def replaced(p: int) -> str:
    """The sorted set of stream ids whose record a higher rev has replaced."""
    return f"{_TAGS[p]}replaced"


def of_settlement(t: str, pid: str, rid: str) -> tuple[str, ...]:
    """The eleven keys that writing a record may touch, in the order of ``cgx2_settle``; ``t`` is the tag."""
    return (
        f"{t}acct:{pid}",
        f"{t}holds:{pid}",
        f"{t}lease:{pid}",
        f"{t}due",
        f"{t}req:{rid}",
        f"{t}usage",
        f"{t}ids:{pid}",
        f"{t}rate:{pid}:tokens",
        f"{t}replaced",
        f"{t}dead",
        f"{t}unlinked",
    )


def grant_digest(grant_id: str) -> str:
    """What stands for a billing system's own grant id: it may be any text, so it is not kept."""
    return blake2b(grant_id.encode(), digest_size=16).hexdigest()


def is_id(text: str) -> bool:
    """Whether ``text`` may stand in a key as a pid, rid or family id."""
    return _ID.fullmatch(text) is not None
