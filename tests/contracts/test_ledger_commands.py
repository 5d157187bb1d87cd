"""How many commands each act of the ledger runs in the store. A change that needs more, or fewer, edits the table."""

import pytest

from metering import keys
from metering.ledger.types import Limits, Reservation, Reserved
from tests.ledger_fixtures import usage_record

PID = "pcommands"
EVERY = Limits(600, 1_000_000, 10, 10**9, 10**9)
MOST = {
    "reserve": 10,
    "reserve with every limit": 14,
    "reserve with a rate of requests": 12,
    "reserve in a lane": 10,
    "reserve again": 5,
    "refuse": 4,
    "settle": 16,
    "settle with a rate of tokens": 18,
    "settle again": 9,
    "settle a lost hold": 16,
    "correct": 19,
    "settle of an erased account": 14,
    "touch": 10,
    "touch with a checkpoint": 10,
    "void": 10,
    "reap what was not sent": 15,
    "reap an orphan": 18,
}
"""Act -> the commands that its function runs. Each request has a ``reserve`` and a ``settle``."""
OUTSIDE = ("fcall", "info", "ping", "cluster", "client", "command", "hello")


async def ran(store):
    """How often each command ran, on all primaries together, without those that are no part of a function."""
    found = {}
    for stats in await store.on_primaries("INFO", "commandstats"):
        for name, counts in stats.items():
            command = name.removeprefix("cmdstat_")
            if command.partition("|")[0] not in OUTSIDE:
                found[command] = found.get(command, 0) + int(counts["calls"])
    return found


def asks(rid="r1", limits=Limits(), **stated):  # noqa: B008 - frozen
    usual = {"amount": 10, "tokens": 50, "lease_ms": 60_000, "limits": limits, "orphan": usage_record(rid, PID)}
    return Reservation(**{"rid": rid, "pid": PID} | usual | stated)


async def reap(ledger):
    p = keys.partition(PID)
    command = ("FCALL", "cgx2_reap", 11, *keys.of_settlement(keys.tag(p), PID, "r1"), "r1", PID, "")
    return await ledger.calls.run(p, command)


ACTS = {
    "reserve": (None, lambda ledger: ledger.reserve(asks())),
    "reserve with every limit": (None, lambda ledger: ledger.reserve(asks(limits=EVERY))),
    "reserve with a rate of requests": (None, lambda ledger: ledger.reserve(asks(limits=Limits(600)))),
    "reserve in a lane": (None, lambda ledger: ledger.reserve(asks(lane="s:0"))),
    "reserve again": (asks(), lambda ledger: ledger.reserve(asks())),
    "refuse": (None, lambda ledger: ledger.reserve(asks(amount=10**9))),
    "settle": (asks(), lambda ledger: ledger.settle([usage_record("r1", PID)])),
    "settle with a rate of tokens": (asks(limits=EVERY), lambda ledger: ledger.settle([usage_record("r1", PID)])),
    "settle again": ("settled", lambda ledger: ledger.settle([usage_record("r1", PID)])),
    "settle a lost hold": (None, lambda ledger: ledger.settle([usage_record("r1", PID)])),
    "correct": ("settled", lambda ledger: ledger.settle([usage_record("r1", PID, rev=2)])),
    "settle of an erased account": ("erased", lambda ledger: ledger.settle([usage_record("r1", PID)])),
    "touch": (asks(), lambda ledger: ledger.touch(PID, "r1", lease_ms=60_000)),
    "touch with a checkpoint": (
        asks(),
        lambda ledger: ledger.touch(PID, "r1", lease_ms=60_000, amount=20, checkpoint=usage_record("r1", PID)),
    ),
    "void": (asks(), lambda ledger: ledger.void(PID, "r1")),
    "reap what was not sent": (asks(lease_ms=0, orphan=None), reap),
    "reap an orphan": (asks(lease_ms=0), reap),
}


@pytest.mark.parametrize("act", MOST)
async def test_each_act_runs_so_many_commands_in_the_store(ledger, store, act):
    await ledger.grant(PID, 1_000_000, "g")
    before, do = ACTS[act]
    if before == "settled":
        await ledger.settle([usage_record("r1", PID)])
    elif before == "erased":
        await ledger.reserve(asks())
        await store.client.hset(f"{keys.tag(keys.partition(PID))}acct:{PID}", "erased", "1")
    elif before is not None:
        assert isinstance(await ledger.reserve(before), Reserved)
    first = await ran(store)
    await do(ledger)
    then = await ran(store)
    found = {name: calls - first.get(name, 0) for name, calls in then.items() if calls > first.get(name, 0)}
    assert sum(found.values()) == MOST[act], found
