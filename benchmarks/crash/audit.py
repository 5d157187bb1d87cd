"""Compares what the provider billed with what the ledger has, request by request."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.crash.load import SPACING, Seen
from benchmarks.crash.stand import Account
from metering import keys
from metering.ledger import records
from metering.ledger.ledger import Ledger
from metering.store.store import Store
from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, UsageRecord

TOKENS = SPACING // 4  # a request's number is its billed input divided by this


@dataclass(slots=True)
class Audit:
    """What became of a line's requests.

    Attributes:
        requests: Sent by clients.
        answered: Of these, answered whole.
        billed: Billed by the provider.
        records: In the ledger; ``reported`` + ``partial`` + ``orphan``.
        unbilled: Records of requests whose provider billed nothing: they were on their way when they were cut.
        lost: Billed by the provider, and not in the ledger.
        doubled: Charged more than once, or more than their record says.
        wrong: ``reported`` with other counts than the provider's.
        held: Micro-credits still held at rest.
    """

    requests: int = 0
    answered: int = 0
    billed: int = 0
    records: int = 0
    reported: int = 0
    partial: int = 0
    orphan: int = 0
    unbilled: int = 0
    lost: int = 0
    doubled: int = 0
    wrong: int = 0
    held: int = 0

    @property
    def good(self) -> bool:
        return not (self.lost or self.doubled or self.wrong or self.held)

    def as_dict(self) -> dict[str, Any]:
        return {**asdict(self), "good": self.good}


async def audit(
    store: Store, ledger: Ledger, accounts: Sequence[Account], bills: Sequence[Mapping[str, Any]], seen: Sequence[Seen]
) -> Audit:
    """Compare at rest."""
    found = Audit(requests=len(seen), answered=sum(one.whole for one in seen))
    billed: dict[int, list[Mapping[str, Any]]] = {}
    for bill in bills:
        if 200 <= bill["status"] < 300 and (bill["input"] or bill["output"]):
            billed.setdefault(bill["input"] // TOKENS - 1, []).append(bill)
    found.billed = sum(len(several) for several in billed.values())
    chains = await chains_of(store, {account.pid for account in accounts})
    for account in accounts:
        mine = chains.get(account.pid, {})
        theirs = billed.get(account.number, [])
        state = await ledger.account(account.pid)
        highest = [max(chain, key=lambda record: record.rev) for chain in mine.values()]
        found.records += len(highest)
        found.lost += max(0, len(theirs) - len(highest))
        ranks = [Counter(record.rev for record in chain) for chain in mine.values()]
        spent = state.spent if state is not None else 0
        once = len(highest) <= max(1, len(theirs)) and all(count == 1 for rank in ranks for count in rank.values())
        if not once or spent != sum(record.charge for record in highest):
            found.doubled += 1
        found.unbilled += max(0, len(highest) - len(theirs))
        found.held += state.held if state is not None else 0
        for record in highest:
            setattr(found, record.basis, getattr(found, record.basis) + 1)
            if record.basis == "reported" and not (len(theirs) == 1 and _same(record, theirs[0])):
                found.wrong += 1
    return found


async def held(ledger: Ledger, accounts: Sequence[Account]) -> int:
    """Micro-credits that are held now."""
    states = [await ledger.account(account.pid) for account in accounts]
    return sum(state.held for state in states if state is not None)


async def chains_of(store: Store, pids: set[str]) -> dict[str, dict[str, list[UsageRecord]]]:
    """Every record of these accounts, by account and request, as the streams have them."""
    found: dict[str, dict[str, list[UsageRecord]]] = {}
    for p in {keys.partition(pid) for pid in pids}:
        entries: Any = await store.client.xrange(keys.usage_stream(p))
        for _, fields in entries:
            record = records.decode(fields)
            if record.pid in pids:
                found.setdefault(record.pid, {}).setdefault(record.rid, []).append(record)
    return found


def _same(record: UsageRecord, bill: Mapping[str, Any]) -> bool:
    inputs = sum(getattr(record, name) for name in INPUT_COUNTS)
    outputs = sum(getattr(record, name) for name in OUTPUT_COUNTS)
    return (inputs, outputs) == (bill["input"], bill["output"])
