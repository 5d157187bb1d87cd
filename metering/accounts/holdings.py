"""Everything that the ledger and its streams hold about an account, for the copy that its owner may ask for.

Rules:

1. Everything that can be found from the account is here. `metering.keys.KEPT` says for each kind of key where its
   content is in an export, or why it is not exported; a test compares an export with every key of its account.
2. Nothing is changed, and the key space is not scanned: the name of each key is known.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Final, Literal, TypeAlias

import msgspec

from metering import keys
from metering.accounts.credit_watch import level_key
from metering.ledger import records
from metering.ledger.ledger import Ledger
from metering.ledger.types import Account
from metering.store.store import Store
from metering.usage import UsageRecord

PAGE: Final = 200
RequestEnd: TypeAlias = Literal["running", "settled", "voided", "dead", "erased"]
STATES: Final[dict[str, RequestEnd]] = {"h": "running", "d": "settled", "v": "voided", "x": "dead", "e": "erased"}
"""What the letters of ``metering/ledger/ledger.lua`` mean."""


class Spending(msgspec.Struct, frozen=True):
    """Micro-credits charged in the last UTC day and month that had a charge; each has the number of its first day
    since 1970.
    """

    day: int | None = None
    day_spent: int = 0
    month: int | None = None
    month_spent: int = 0


class HeldGrant(msgspec.Struct, frozen=True):
    """``digest`` stands for the billing system's own id of the grant."""

    at_ms: int
    amount: int
    digest: str


class RunningRequest(msgspec.Struct, frozen=True):
    """A request that is not settled: the micro-credits that it holds and may cost at most, and the end of its lease."""

    rid: str
    held: int
    most: int
    lease_ends_ms: int | None


class RequestState(msgspec.Struct, frozen=True, omit_defaults=True):
    """What the ledger remembers of a request (the hash ``m:{p}:req:<rid>``), for 35 days.

    Attributes:
        rid: Its id.
        state: Running, settled, voided ...
        reserved: The numbers of its reserve, as ``metering/ledger/ledger.lua`` joins them.
        tokens: Its estimate for the token rate.
        token_limit: The limit of that rate.
        spool: Which host knows whether it was sent.
        lane: Whether it belonged to an autocomplete lane.
        checkpoint: The record that the reaper would write if its worker died now.
        charge: Micro-credits.
        rev: The rank of its record.
        entry: Where its record is in the usage stream.
    """

    rid: str
    state: RequestEnd
    reserved: str = ""
    tokens: int | None = None
    token_limit: int | None = None
    spool: str = ""
    lane: bool = False
    checkpoint: UsageRecord | None = None
    charge: int | None = None
    rev: int | None = None
    entry: str = ""


class DeadLetter(msgspec.Struct, frozen=True):
    """A record that could not be settled or booked; ``why`` is a word of the ledger."""

    entry: str
    why: str
    record: UsageRecord


class Holdings(msgspec.Struct, frozen=True):
    """Everything that is held about one account.

    Attributes:
        account: Its sums; ``spending`` has those of a day and a month.
        grants: What was granted, oldest first.
        running: Requests that are not settled.
        records: Usage records, oldest first; ``replaced`` are those that a higher ``rev`` has replaced.
        entries: The stream ids of all these records.
        requests: The remembered state of each request that is named here.
        dead_letters: Records that an operator has to look at.
        rates: Limit -> when it is fully available again (Unix microseconds).
        level: The last alert about the credit: 1 low, 2 exhausted.
    """

    account: Account
    spending: Spending
    grants: tuple[HeldGrant, ...]
    running: tuple[RunningRequest, ...]
    records: tuple[UsageRecord, ...]
    replaced: tuple[UsageRecord, ...]
    entries: tuple[str, ...]
    requests: tuple[RequestState, ...]
    dead_letters: tuple[DeadLetter, ...]
    rates: dict[str, int]
    level: int | None

    @property
    def rids(self) -> list[str]:
        """Every request that is named, each once."""
        written = (*self.records, *self.replaced, *(letter.record for letter in self.dead_letters))
        return list(dict.fromkeys([*(record.rid for record in written), *(one.rid for one in self.running)]))


async def read_holdings(store: Store, ledger: Ledger, pid: str) -> Holdings:
    """Read what is held about an account; empty if nothing was ever granted to it.

    Raises:
        LedgerUnavailable, redis.RedisError: The store does not answer.
    """
    account = await ledger.account(pid) or Account(pid, 0, 0, 0, 0, "")
    p = keys.partition(pid)
    t = keys.tag(p)
    pipeline: Any = store.client.pipeline(transaction=False)
    pipeline.hmget(f"{t}acct:{pid}", "day", "dspent", "month", "mspent")
    pipeline.lrange(f"{t}grants:{pid}", 0, -1)
    pipeline.hgetall(f"{t}holds:{pid}")
    pipeline.lrange(f"{t}ids:{pid}", 0, -1)
    pipeline.xrange(f"{t}dead")
    pipeline.get(f"{t}rate:{pid}:requests")
    pipeline.get(f"{t}rate:{pid}:tokens")
    pipeline.get(level_key(pid))
    spent, granted, holds, ids, dead, *rates, level = await pipeline.execute()
    valid, replaced = await _records(store, p, ids)
    letters = tuple(
        DeadLetter(name.decode(), fields[b"why"].decode(), records.decode(fields))
        for name, fields in dead
        if fields[b"pid"] == pid.encode()
    )
    running = await _running(store, pid, holds)
    found = Holdings(
        account,
        Spending(*map(int, spent)) if spent[0] is not None else Spending(),
        tuple(_grant(entry) for entry in granted),
        running,
        valid,
        replaced,
        tuple(name.decode() for name in ids),
        (),
        letters,
        {name: int(at) for name, at in zip(("requests", "tokens"), rates, strict=True) if at is not None},
        None if level is None else int(level),
    )
    return msgspec.structs.replace(found, requests=await _states(store, pid, found.rids))


def _grant(entry: bytes) -> HeldGrant:
    at, amount, digest = entry.decode().split(":")
    return HeldGrant(int(at), int(amount), digest)


async def _records(
    store: Store, p: int, ids: Sequence[bytes]
) -> tuple[tuple[UsageRecord, ...], tuple[UsageRecord, ...]]:
    """The account's current records and its replaced ones, each oldest first."""
    valid: list[UsageRecord] = []
    replaced: list[UsageRecord] = []
    for page in _pages(ids):
        pipeline: Any = store.client.pipeline(transaction=False)
        pipeline.zmscore(keys.replaced(p), page)
        for name in page:
            pipeline.xrange(keys.usage_stream(p), name, name)
        scores, *entries = await pipeline.execute()
        for score, found in zip(scores, entries, strict=True):
            if found:
                (valid if score is None else replaced).append(records.decode(found[0][1]))
    return tuple(valid), tuple(replaced)


async def _running(store: Store, pid: str, holds: dict[bytes, bytes]) -> tuple[RunningRequest, ...]:
    if not holds:
        return ()
    client: Any = store.client
    due = f"{keys.tag(keys.partition(pid))}due"
    ends = await client.zmscore(due, [f"{pid}:{rid.decode()}" for rid in holds])
    found = []
    for (rid, hold), end in zip(holds.items(), ends, strict=True):
        held, _, most = hold.partition(b"\0")
        found.append(RunningRequest(rid.decode(), int(held), int(most or held), None if end is None else int(end)))
    return tuple(found)


async def _states(store: Store, pid: str, rids: Sequence[str]) -> tuple[RequestState, ...]:
    t = keys.tag(keys.partition(pid))
    found: list[RequestState] = []
    for page in _pages(rids):
        pipeline: Any = store.client.pipeline(transaction=False)
        for rid in page:
            pipeline.hgetall(f"{t}req:{rid}")
        for rid, fields in zip(page, await pipeline.execute(), strict=True):
            if fields:
                found.append(_state(rid, {name.decode(): value.decode() for name, value in fields.items()}))
    return tuple(found)


def _state(rid: str, fields: dict[str, str]) -> RequestState:
    def number(name: str) -> int | None:
        return int(fields[name]) if name in fields else None

    return RequestState(
        rid,
        STATES[fields["s"]],
        fields.get("f", ""),
        number("t"),
        number("tl"),
        fields.get("home", ""),
        "lane" in fields,
        records.parse(fields["ck"]) if fields.get("ck") else None,
        number("c"),
        number("r"),
        fields.get("id", ""),
    )


def _pages(items: Sequence[Any]) -> Iterable[Sequence[Any]]:
    return (items[at : at + PAGE] for at in range(0, len(items), PAGE))
