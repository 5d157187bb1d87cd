"""The ledger against a model: anything, in any order, any number of times."""

import asyncio
import os
import random
import tempfile
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from metering import keys
from metering.accounts.identity_map import Accounts, IdentityKey
from metering.accounts.retention import Retention
from metering.accounts.rights import Rights
from metering.ledger import records
from metering.ledger.ledger import LedgerConflict, Limits, Refused, Reservation, Reserved, State, Touched
from metering.reading.reader import read_usage
from metering.settlement.reaper import Reaper
from metering.store.embedded import Embedded
from metering.store.epoch import Epoch
from metering.store.store import open_store
from metering.usage import COUNTS
from tests.ledger_fixtures import RaisingLedger, usage_record

USERS = ("ann", "bob")
RIDS = tuple(f"r{number}" for number in range(3))
DEAD, ALIVE = 0, 600_000
EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "25"))


def record(rid, pid, rev, charge):
    at = {"started_ms": 2_000_000_000_000, "settled_ms": 2_000_000_000_000}
    return usage_record(rid, pid, rev=rev, charge=charge, cost=charge, **at, **dict.fromkeys(COUNTS, 1))


@pytest.fixture(scope="module", autouse=True)
def server():
    """One server for all runs; each run has accounts of its own."""
    global FOLDER
    with tempfile.TemporaryDirectory(prefix="cgx-machine-") as name:
        FOLDER = Path(name)
        user = asyncio.run(Embedded.attach(FOLDER))
        yield
        asyncio.run(user.detach())


class Request:
    """What the model knows of one rid."""

    def __init__(self):
        self.state = "new"  # held | voided | done | erased
        self.amount = self.most = 0
        self.lease = ALIVE
        self.checkpoint = None
        self.fingerprint = None
        self.rev = -1
        self.charge = 0


class LedgerMachine(RuleBasedStateMachine):
    def __init__(self):
        super().__init__()
        self.runner = asyncio.Runner()
        self.history = []
        self.day = time.time() // 86_400
        self.run(self.open())

    def run(self, coroutine):
        return self.runner.run(coroutine)

    async def open(self):
        self.store = await open_store("embedded:", data_dir=FOLDER)
        self.ledger = RaisingLedger(self.store, timeout=10)
        await self.ledger.load()
        await self.store.client.flushall()
        self.accounts = Accounts(self.store, [IdentityKey(1, b"k" * 32)])
        self.rights = Rights(self.store, self.ledger, Retention(self.store, self.ledger))
        self.epoch = Epoch(self.store)
        self.reaper = Reaper(self.store, self.ledger, self.epoch, lease_ms=0)
        await self.epoch.look()

    @initialize(billing=st.booleans())
    def begin(self, billing):
        """Two accounts; in one half of the runs a billing consumer has read nothing yet."""
        self.pid = {user: self.run(self.accounts.pid_of(user, create=True)) for user in USERS}
        self.granted = dict.fromkeys(USERS, 0)
        self.known = dict.fromkeys(USERS, False)
        self.erased = dict.fromkeys(USERS, False)
        self.grants = {}
        self.requests = {user: {rid: Request() for rid in RIDS} for user in USERS}
        self.billing = billing
        for user in USERS:
            self.grant(user, 12, "first")
        if billing:
            # Both accounts may be in one partition.
            for stream in {keys.usage_stream(keys.partition(self.pid[user])) for user in USERS}:
                self.run(self.store.client.xgroup_create(stream, "billing", id="0", mkstream=True))

    def rid(self, user, rid):
        return f"{user}-{rid}"

    def held(self, user):
        return sum(request.amount for request in self.requests[user].values() if request.state == "held")

    def spent(self, user):
        return sum(request.charge for request in self.requests[user].values() if request.state == "done")

    def may_cost(self, user):
        return sum(request.most for request in self.requests[user].values() if request.state == "held")

    def balance(self, user):
        return self.granted[user] - self.spent(user)

    # What may happen.

    @rule(user=st.sampled_from(USERS), amount=st.integers(0, 9), name=st.sampled_from("abc"))
    def grant(self, user, amount, name):
        self.history.append(("grant", user, amount, name))
        try:
            account = self.run(self.ledger.grant(self.pid[user], amount, name))
        except LedgerConflict:
            assert self.erased[user] or self.grants[user, name] != amount
            return
        assert not self.erased[user]
        if (user, name) not in self.grants:
            self.grants[user, name] = amount
            self.granted[user] += amount
            self.known[user] = True
        assert self.grants[user, name] == amount
        assert account.granted == self.granted[user]

    @rule(
        user=st.sampled_from(USERS),
        rid=st.sampled_from(RIDS),
        amount=st.integers(0, 6),
        more=st.integers(0, 9),
        least=st.none() | st.integers(0, 15),
        lease=st.sampled_from([DEAD, ALIVE]),
        orphan=st.none() | st.integers(0, 5),
    )
    def reserve(self, user, rid, amount, more, least, lease, orphan):
        request, pid, name = self.requests[user][rid], self.pid[user], self.rid(user, rid)
        checkpoint = None if orphan is None else record(name, pid, 1, orphan)
        worst = amount + more
        least = worst if least is None else min(least, worst)
        reservation = Reservation(name, pid, amount, 5, lease, Limits(), checkpoint, worst=worst, least=least)
        fingerprint = (amount, worst, least, lease)
        balance, held, may_cost = self.balance(user), self.held(user), self.may_cost(user)
        room = balance - may_cost
        try:
            answer = self.run(self.ledger.reserve(reservation))
        except LedgerConflict:
            assert request.state == "held"
            assert request.fingerprint not in (None, fingerprint)
            return
        if self.erased[user]:
            assert answer.reason == "unknown_account"
        elif request.state == "held":
            assert request.fingerprint in (None, fingerprint)
            assert answer == Reserved(balance, held - request.amount, request.amount, request.most, ())
        elif request.state != "new":
            assert answer.reason == "voided"
        elif not self.known[user]:
            assert answer.reason == "unknown_account"
        elif room < least:
            waits = balance >= least
            assert answer == Refused("credits", least, may_cost, room, 5_000 if waits else 0, ())
        else:
            hold, most = (amount, worst) if room >= worst else (room, room)
            assert answer == Reserved(balance, held, hold, most, ())
            request.state, request.amount, request.most, request.lease = "held", hold, most, lease
            request.checkpoint, request.fingerprint = orphan, fingerprint
            assert self.may_cost(user) <= balance

    @rule(
        user=st.sampled_from(USERS),
        rid=st.sampled_from(RIDS),
        amount=st.integers(0, 18),
        most=st.integers(0, 9),
        lease=st.sampled_from([DEAD, ALIVE]),
        checkpoint=st.none() | st.integers(0, 5),
    )
    def touch(self, user, rid, amount, most, lease, checkpoint):
        request, pid, name = self.requests[user][rid], self.pid[user], self.rid(user, rid)
        seen = None if checkpoint is None else record(name, pid, 1, checkpoint)
        available = self.balance(user) - self.held(user)
        room = self.balance(user) - self.may_cost(user)
        touched = self.run(self.ledger.touch(pid, name, lease_ms=lease, amount=amount, checkpoint=seen, most=most))
        if self.erased[user] or not self.known[user]:
            assert touched is Touched.GONE
            return
        if request.state == "done" and request.rev == 0:
            assert touched is Touched.HELD
            return
        if request.state not in ("new", "held"):
            assert touched is Touched.GONE
            return
        if request.state == "new":  # a hold that the store lost
            assert touched is Touched.HELD
            request.amount, request.most = amount, max(amount, most)
        elif amount > request.amount:
            beyond = max(0, amount - request.most)
            if available < amount - request.amount or (beyond and room < beyond):
                assert touched is Touched.CREDITS
                request.most += max(0, min(beyond, room))
            else:
                assert touched is Touched.HELD
                request.amount, request.most = amount, request.most + beyond
        else:
            assert touched is Touched.HELD
        request.state, request.lease = "held", lease
        if checkpoint is not None:
            request.checkpoint = checkpoint

    @rule(
        user=st.sampled_from(USERS),
        rid=st.sampled_from(RIDS),
        rev=st.integers(0, 3),
        charge=st.integers(0, 6),
    )
    def settle(self, user, rid, rev, charge):
        # One rank of a rid always carries the same charge: a settlement is repeated, never rewritten.
        charge = next((c for _, u, r, v, c in self.settlements() if (u, r, v) == (user, rid, rev)), charge)
        self.history.append(("settle", user, rid, rev, charge))
        self.run(self.ledger.settle([record(self.rid(user, rid), self.pid[user], rev, charge)]))
        self.settled(user, rid, rev, charge)

    def settlements(self):
        return [step for step in self.history if step[0] == "settle"]

    def settled(self, user, rid, rev, charge):
        request = self.requests[user][rid]
        if self.erased[user]:
            request.state = "erased"
        elif request.state != "done" or rev > request.rev:
            request.state, request.rev, request.charge = "done", rev, charge
            self.known[user] = True

    @rule(user=st.sampled_from(USERS), rid=st.sampled_from(RIDS))
    def void(self, user, rid):
        self.history.append(("void", user, rid))
        self.run(self.ledger.void(self.pid[user], self.rid(user, rid)))
        request = self.requests[user][rid]
        if request.state in ("new", "held"):
            request.state = "voided"

    @rule()
    def reap(self):
        assert self.run(self.reaper.turn())
        for user in USERS:
            for request in self.requests[user].values():
                if request.state == "held" and request.lease == DEAD:
                    if request.checkpoint is None:
                        request.state = "voided"
                    else:
                        request.state, request.rev, request.charge = "done", 0, request.checkpoint

    @rule(seed=st.integers(0, 1000), part=st.floats(0.1, 1.0))
    @precondition(lambda self: self.history)
    def replay(self, seed, part):
        """Everything handed in so far, or some of it, comes again in another order, all at once."""
        steps = list(self.history)
        random.Random(seed).shuffle(steps)
        steps = steps[: max(1, int(len(steps) * part))]

        async def again():
            calls = []
            for step in steps:
                match step:
                    case ("grant", user, amount, name):
                        calls.append(self.ledger.grant(self.pid[user], amount, name))
                    case ("void", user, rid):
                        calls.append(self.ledger.void(self.pid[user], self.rid(user, rid)))
                    case ("settle", user, rid, rev, charge):
                        calls.append(self.ledger.settle([record(self.rid(user, rid), self.pid[user], rev, charge)]))
            for outcome in await asyncio.gather(*calls, return_exceptions=True):
                assert outcome is None or not isinstance(outcome, Exception) or isinstance(outcome, LedgerConflict)

        self.run(again())

    @rule(user=st.sampled_from(USERS))
    def erase(self, user):
        found = self.run(self.accounts.pid_of(user))
        assert found == (None if self.erased[user] else self.pid[user])
        if found is None:
            return
        assert self.run(self.rights.erase(found, self.accounts.names(user), actor="test")).pid == found
        self.erased[user] = True
        for request in self.requests[user].values():
            if request.state == "done":
                request.state = "erased"
            elif request.state == "held":
                request.state = "orphaned"  # its hold is gone; a settlement may still come

    # What must hold after each step.

    @invariant()
    def the_ledger_is_what_the_model_says(self):
        if hasattr(self, "pid"):
            for user in USERS:
                self.run(self.compare(user))

    async def compare(self, user):
        pid = self.pid[user]
        names = {rid: self.rid(user, rid) for rid in RIDS}
        account, entries, *shown = await asyncio.gather(
            self.ledger.account(pid),
            self.store.client.xrange(keys.usage_stream(keys.partition(pid))),
            *(self.ledger.record(pid, name) for name in names.values()),
        )
        mine = [records.decode(fields) for _, fields in entries if fields[b"pid"].decode() == pid]
        chains = [(r.rid, r.rev) for r in mine]
        assert len(chains) == len(set(chains))
        highest = {}
        for r in mine:
            assert r.rid not in highest or highest[r.rid][0] < r.rev  # a chain only climbs
            highest[r.rid] = (r.rev, r.charge)
        if self.erased[user]:
            assert account is None
            assert self.billing or not highest
            return
        found = (0, 0, 0) if account is None else (account.granted, account.spent, account.held)
        assert found == (self.granted[user], self.spent(user), self.held(user))
        assert sum(charge for _, charge in highest.values()) == self.spent(user)
        day, month = await self.ledger.limits(pid, Limits(daily=1_000, monthly=2_000))
        if time.time() // 86_400 == self.day:  # else what was charged before midnight is rightly gone
            used = self.spent(user) + self.held(user)
            assert (day.remaining, month.remaining) == (1_000 - used, 2_000 - used)
        read = [r async for r in read_usage(self.store, pid=pid)]
        assert {r.rid: (r.rev, r.charge) for r in read} == highest
        assert len(read) == len(highest)
        for rid, state in zip(names, shown, strict=True):
            request = self.requests[user][rid]
            match request.state:
                case "done":
                    assert (state.rev, state.charge) == (request.rev, request.charge)
                case "held":
                    assert state is State.PENDING
                case "voided":
                    assert state is State.VOIDED
                case "new":
                    assert state is State.UNKNOWN

    def teardown(self):
        if hasattr(self, "pid"):
            self.run(self.end())
            self.the_ledger_is_what_the_model_says()
        self.run(self.close())
        self.runner.close()

    async def end(self):
        """Every running request ends; then nothing may be held anywhere."""
        for user in USERS:
            for rid, request in self.requests[user].items():
                if request.state == "held":
                    await self.ledger.settle([record(self.rid(user, rid), self.pid[user], 9, 1)])
                    request.state, request.rev, request.charge = "done", 9, 1
        for user in USERS:  # after all of them: the accounts may share a partition and its list of what is due
            t = keys.tag(keys.partition(self.pid[user]))
            assert await self.store.client.exists(f"{t}holds:{self.pid[user]}", f"{t}lease:{self.pid[user]}") == 0
            assert await self.store.client.exists(f"{t}due") == 0

    async def close(self):
        await self.ledger.close()
        await self.store.close()


LedgerMachine.TestCase.settings = settings(
    max_examples=EXAMPLES,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
)
TestLedger = LedgerMachine.TestCase
