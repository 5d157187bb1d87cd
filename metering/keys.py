"""The names of the ledger's keys, and the partition of each account.

Rules:

1. ``p = crc16(pid) % 256`` never changes: existing records are found by it.
2. Every key of one account has the tag ``{p}``, so that one call touches one Cluster slot.
3. `KEPT` lists every kind of key that the gateway writes, wherever its name is built; docs/privacy.md has the
   same table, and the tests compare it with the keys that each gateway leaves.
4. Names are built from ids that the gateway drew itself. Ids from outside (a grant's id, a
   user's id) are part of a name only as a digest.
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

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


ACCOUNTS: Final = "m:{*}:acct:*"
"""The pattern of the keys of all accounts; the part after the last colon is the account's id."""


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
    """The digest that replaces a billing system's own grant id, which may be any text and is not kept."""
    return blake2b(grant_id.encode(), digest_size=16).hexdigest()


def is_id(text: str) -> bool:
    """Whether ``text`` may be used in a key as a pid, rid or family id."""
    return _ID.fullmatch(text) is not None


@dataclass(frozen=True, slots=True)
class KeyKind:
    """One kind of key of the store.

    Attributes:
        form: Its name. ``{p}`` is a partition in braces, ``<pid>``, ``<sid>`` and ``<rid>`` are ids that the gateway
            drew, ``<digest>`` is a digest, ``<policy>``, ``<switch>`` and ``<slot>`` are words and a number from
            closed lists.
        holds: Its content.
        life: How long it is kept.
        sections: The sections of an account's export that have its content.
        left_out: What is not exported, and why.
    """

    form: str
    holds: str
    life: str
    sections: tuple[str, ...] = ()
    left_out: str = ""
    _pattern: re.Pattern[str] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        pattern = re.escape(self.form)
        for placeholder, part in _PARTS.items():
            pattern = pattern.replace(re.escape(placeholder), part)
        object.__setattr__(self, "_pattern", re.compile(pattern))

    def names(self, key: str) -> bool:
        """Whether this key is of this kind."""
        return self._pattern.fullmatch(key) is not None


_PARTS: Final = {
    "{p}": r"\{[0-9]{1,3}\}",
    **dict.fromkeys(("<pid>", "<sid>", "<rid>"), _ID.pattern),
    "<digest>": "[0-9a-f]{32,64}",
    "<policy>": "(?:requests|tokens)",
    "<slot>": "[0-9]{1,5}",
    "<switch>": "(?:provider|model|key)",
}
_ACCOUNT: Final = "until the account is erased"
_RUNS: Final = "while requests run"

KEPT: Final = (
    KeyKind(
        "m:{p}:acct:<pid>",
        "granted and spent credits, tier, spending of the day and the month, a restriction",
        f"{_ACCOUNT}; then the mark `erased` and its time, 35 days",
        sections=("account", "spending"),
    ),
    KeyKind("m:{p}:holds:<pid>", "request ids with the amounts that they hold", _RUNS, sections=("running",)),
    KeyKind("m:{p}:lease:<pid>", "ids of running requests and when their lease ends", _RUNS, sections=("running",)),
    KeyKind("m:{p}:due", "the same for all accounts of the partition, for the reaper", _RUNS, sections=("running",)),
    KeyKind(
        "m:{p}:req:<rid>",
        "state of a request, its account, a fingerprint of the reserve's numbers, the last checkpoint, the charge",
        "35 days, or 10 minutes if it is not billed; after an erasure only its state and account",
        sections=("requests",),
        left_out="requests that ended without a record: the account has no link to them",
    ),
    KeyKind(
        "m:{p}:usage",
        "usage records, and the consumer groups with which billing reads them",
        "`retention.days`",
        sections=("records", "replaced", "entries"),
    ),
    KeyKind("m:{p}:ids:<pid>", "which of these records are the account's", "as the records", sections=("entries",)),
    KeyKind("m:{p}:replaced", "which of them a higher rev has replaced", "as the records", sections=("entries",)),
    KeyKind(
        "m:{p}:dead",
        "usage records that came too late or that billing could not book",
        "until an operator deletes it",
        sections=("dead_letters",),
    ),
    KeyKind(
        "m:{p}:unlinked",
        "the sum of each day's charges to erased accounts",
        "for ever; it identifies nobody",
        left_out="it identifies nobody",
    ),
    KeyKind(
        "m:{p}:rate:<pid>:<policy>",
        "a time that encodes how much of a rate is used",
        "at most a minute plus the waiting time",
        sections=("rates",),
    ),
    KeyKind(
        "m:{p}:lane:<pid>:<sid>:<slot>",
        "the newest request of an autocomplete lane",
        "10 minutes",
        left_out="the account has no link to it, and it expires",
    ),
    KeyKind(
        "m:{p}:grant:<pid>:<digest>",
        "account and amount, under a digest of the grant's id",
        "400 days, even after an erasure",
        sections=("account", "grants"),
    ),
    KeyKind("m:{p}:grants:<pid>", "times, amounts and digests of grants", _ACCOUNT, sections=("grants",)),
    KeyKind(
        "m:{p}:level:<pid>",
        "the last alert about low or exhausted credit",
        "90 days, or until the account is erased",
        sections=("level",),
    ),
    KeyKind(
        "m:{p}:erase:<pid>",
        "which records of an erased account wait for billing",
        "until billing has booked them",
        left_out="of an erased account",
    ),
    KeyKind("m:{p}:erasures", "erased accounts that have such records", "the same", left_out="of erased accounts"),
    KeyKind(
        "m:{p}:stripe:<pid>",
        "the account's customer id at Stripe",
        "until the account is erased and its charges are sent",
        sections=("stripe_customer",),
    ),
    KeyKind(
        "m:{p}:sent:<rid>",
        "how much of a charge was sent to Stripe",
        "40 days, even after an erasure",
        sections=("stripe_sent",),
    ),
    KeyKind(
        "m:{p}:refused",
        "charges that Stripe refused: request, account, amount, times",
        "35 days, or until they are sent",
        sections=("stripe_refused", "account"),
    ),
    KeyKind(
        "u:<digest>",
        "the account's random id, under a keyed digest of the user's",
        _ACCOUNT,
        left_out="a keyed digest of the user; its value is the account's id",
    ),
    KeyKind(
        "a:<pid>",
        "what billing states of an account, and the mode, region and limit of retention that its owner chose",
        _ACCOUNT,
        sections=("entitlements", "choice"),
    ),
    KeyKind(
        "o:<digest>",
        "what billing states of an organisation, under a keyed digest of its id",
        "until billing states something else",
        left_out="of the organisation, not of the account",
    ),
    KeyKind(
        "s:{<sid>}",
        "session: keyed digest of the token, account, tier, mode, region, limit of retention, software, times, name "
        "and scopes",
        "its life and one day",
        sections=("sessions", "tokens"),
        left_out="digests of tokens",
    ),
    KeyKind(
        "ss:<pid>",
        "ids and ends of the account's sessions",
        "the longest session's life",
        sections=("sessions", "ended_sessions"),
    ),
    KeyKind(
        "f:{<sid>}",
        "keyed digests of the session's refresh tokens, client, scope, times",
        "the session's life",
        sections=("tokens",),
        left_out="digests of tokens",
    ),
    KeyKind(
        "d:{<digest>}",
        "a sign-in by device code: keyed digest, client, scope, software, state, account",
        "10 minutes and what the state takes to be told",
        left_out="the account has no link to it, and it expires",
    ),
    KeyKind(
        "w:{<digest>}",
        "a count of guesses, under a keyed digest of a network or account and the minute",
        "a minute",
        left_out="a keyed digest that identifies nobody",
    ),
    KeyKind(
        "b:{p}",
        "`1`, to see that what was written before is on disk and on replicas",
        "2 seconds",
        left_out="of no account",
    ),
    KeyKind(
        "k:<switch>",
        "the providers, models or keys that the operator has switched off, by name, and since when",
        "until they are switched on",
        left_out="of no account",
    ),
    KeyKind(
        "audit",
        "who did what to which account: grants, revocations, look-ups, erasures; ids and fixed names",
        "400 days",
        sections=("audit",),
    ),
    KeyKind(
        "erasing",
        "accounts whose erasure has begun, with the keys that lead to them",
        "until it is done",
        left_out="of erased accounts",
    ),
    KeyKind(
        "given",
        "the latest cursor that each billing service was given",
        "for ever; names of services",
        left_out="of no account",
    ),
    KeyKind("reaper", "which worker reaps the requests of dead workers", "seconds", left_out="of no account"),
    KeyKind("sweeper", "which worker deletes what is due", "an hour", left_out="of no account"),
)
"""Every kind of key that the gateway writes."""


def kind_of(key: str) -> KeyKind | None:
    """The kind of a key; None if the gateway writes no such key."""
    return next((kind for kind in KEPT if kind.names(key)), None)
