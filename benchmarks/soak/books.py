"""Compares what users saw with what the ledger has, request by request, once everything is settled."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.crash.audit import chains_of
from benchmarks.soak.traffic import Seen
from gateway.accounts.opening import OpenedAccounts
from metering import keys
from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, UsageRecord

REST_SECONDS = 60.0  # for the last holds to end
POLL_SECONDS = 0.2


@dataclass(slots=True)
class Balance:
    """What became of the requests.

    Attributes:
        whole: Answers that users got whole.
        records: In the ledger, of any request; ``reported`` + ``partial`` + ``orphan``.
        lost: Answers that came whole and have no record.
        doubled: Requests with two records of one rank, and accounts that paid another sum than their records say.
        wrong: Records that state the provider's counts, and not those of the answer that the user got.
        held: Micro-credits still held.
    """

    whole: int = 0
    records: int = 0
    reported: int = 0
    partial: int = 0
    orphan: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    held: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.held)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "good": self.good}

    def __str__(self) -> str:
        return ", ".join(f"{name} {value}" for name, value in asdict(self).items())


async def holds(at: OpenedAccounts[Any], pids: Sequence[str]) -> int:
    """How many requests hold credit now."""
    names = [f"{keys.tag(keys.partition(pid))}holds:{pid}" for pid in pids]
    return sum([await at.store.client.hlen(name) for name in names])


async def balance(at: OpenedAccounts[Any], pids: Sequence[str], seen: Seen, *, rest: float = 0.0) -> Balance:
    """Compare once nothing is held any more, at most `REST_SECONDS` from now.

    Args:
        at: The gateway's store and ledger.
        pids: The users' accounts.
        seen: What they saw.
        rest: Seconds more, in which what is replayed replaces an orphan.
    """
    deadline = time.monotonic() + REST_SECONDS
    while await _held(at, pids) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes
        await asyncio.sleep(POLL_SECONDS)
    await asyncio.sleep(rest)
    found = Balance(whole=len(seen.whole), held=await _held(at, pids))
    chains = await chains_of(at.store, set(pids))
    highest: dict[str, UsageRecord] = {}
    for pid in pids:
        mine = chains.get(pid, {})
        spent = 0
        for rid, chain in mine.items():
            ranks = Counter(record.rev for record in chain)
            found.doubled += any(count > 1 for count in ranks.values()) or rid in highest
            highest[rid] = last = max(chain, key=lambda record: record.rev)
            spent += last.charge
        state = await at.ledger.account(pid)
        found.doubled += state is None or state.spent != spent
    _count(found, highest, seen)
    return found


def _count(found: Balance, highest: Mapping[str, UsageRecord], seen: Seen) -> None:
    found.records = len(highest)
    for basis, count in Counter(record.basis for record in highest.values()).items():
        setattr(found, basis, count)
    for rid, model in seen.whole.items():
        record = highest.get(rid)
        if record is None:
            found.lost += 1
        elif record.basis == "reported":
            found.wrong += _tokens(record) != (model.tokens_in, model.tokens_out)


def _tokens(record: UsageRecord) -> tuple[int, int]:
    inputs, outputs = (sum(getattr(record, name) or 0 for name in names) for names in (INPUT_COUNTS, OUTPUT_COUNTS))
    return inputs, outputs


async def _held(at: OpenedAccounts[Any], pids: Sequence[str]) -> int:
    states = await asyncio.gather(*(at.ledger.account(pid) for pid in pids))
    return sum(state.held for state in states if state is not None)
