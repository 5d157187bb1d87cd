import asyncio

import pytest

from metering import keys
from metering.accounts.audit import read_audit
from metering.accounts.identity_map import Accounts, IdentityKey
from metering.accounts.retention import Retention
from metering.accounts.rights import RecordMoved, Rights
from metering.ledger.ledger import LedgerConflict, Limits, Refused, Reservation, State
from metering.reading.reader import read_usage
from metering.settlement.reaper import Reaper
from metering.store.epoch import Epoch

USER = "ann@example.com"


@pytest.fixture
def accounts(store):
    return Accounts(store, [IdentityKey(1, b"k" * 32)])


@pytest.fixture
async def pid(accounts, ledger):
    pid = await accounts.pid_of(USER, create=True)
    await ledger.grant(pid, 100, "g")
    return pid


@pytest.fixture
def names(accounts):
    return accounts.names(USER)


@pytest.fixture
def retention(store, ledger):
    return Retention(store, ledger)


class Journal:
    def __init__(self):
        self.noted = []

    def erased(self, pid, names):
        self.noted.append((pid, tuple(names)))

    def revoked(self, name):
        raise AssertionError


@pytest.fixture
def journal():
    return Journal()


@pytest.fixture
def rights(store, ledger, retention, journal):
    return Rights(store, ledger, retention, journal=journal)


def asks(pid, rid="r1"):
    return Reservation(rid, pid, 10, 0, 60_000, Limits(1, 1000, 5))


def partition_keys(pid):
    return f"m:{{{keys.partition(pid)}}}:*"


async def test_erasure_leaves_a_tombstone_and_totals_alone(
    rights, names, ledger, accounts, store, pid, make_record, journal
):
    await ledger.reserve(asks(pid, "open"))
    await ledger.settle([make_record("r1", pid, rev=0, charge=9), make_record("r1", pid, rev=1, charge=3)])
    await ledger.settle([make_record("r2", pid, charge=4)])
    erasure = await rights.erase(pid, names, actor="cli")
    assert (erasure.pid, erasure.deleted, erasure.waiting) == (pid, 3, 0)

    assert await accounts.pid_of(USER) is None
    assert await ledger.account(pid) is None
    assert [r async for r in read_usage(store)] == []
    assert await ledger.record(pid, "r1") is State.UNKNOWN
    t = keys.tag(keys.partition(pid))
    assert [int(total) for total in await store.client.hvals(f"{t}unlinked")] == [7]
    left = {name.decode().replace(t, "") for name in await store.client.keys(partition_keys(pid))}
    digest = keys.grant_digest("g")
    assert left == {
        f"acct:{pid}", f"grant:{pid}:{digest}", "unlinked", "usage", "req:open", "req:r1", "req:r2"
    }  # fmt: skip
    assert 34 * 86_400_000 < await store.client.pttl(f"{t}acct:{pid}") <= 35 * 86_400_000
    assert journal.noted == [(pid, tuple(accounts.names(USER)))]


async def test_a_late_settlement_resurrects_nothing_and_is_totalled_once(
    rights, names, ledger, store, pid, make_record
):
    await ledger.reserve(asks(pid))
    await rights.erase(pid, names, actor="cli")
    for _ in range(3):
        await ledger.settle([make_record("r1", pid, charge=5)])
    assert await ledger.account(pid) is None
    assert [r async for r in read_usage(store)] == []
    (total,) = await store.client.hvals(f"{keys.tag(keys.partition(pid))}unlinked")
    assert int(total) == 5
    answer = await ledger.reserve(asks(pid, "r9"))
    assert isinstance(answer, Refused)
    assert answer.reason == "unknown_account"
    with pytest.raises(LedgerConflict):
        await ledger.grant(pid, 5, "after")


async def test_replaying_a_settlement_that_was_erased_counts_it_no_second_time(
    rights, names, ledger, store, pid, make_record
):
    await ledger.settle([make_record("r1", pid, charge=5)])
    await rights.erase(pid, names, actor="cli")
    await ledger.settle([make_record("r1", pid, charge=5)])
    (total,) = await store.client.hvals(f"{keys.tag(keys.partition(pid))}unlinked")
    assert int(total) == 5


async def test_unread_records_are_handed_to_billing_first(rights, names, ledger, store, retention, pid, make_record):
    stream = keys.usage_stream(keys.partition(pid))
    await store.client.xgroup_create(stream, "billing", id="0", mkstream=True)
    await ledger.settle([make_record("r1", pid), make_record("r2", pid)])
    ((_, ((first, _),)),) = await store.client.xreadgroup("billing", "c", {stream: ">"}, count=1)
    await store.client.xack(stream, "billing", first)

    erasure = await rights.erase(pid, names, actor="cli")
    assert (erasure.deleted, erasure.waiting) == (1, 1)
    assert [r.rid async for r in read_usage(store)] == ["r2"]
    assert (await retention.sweep()).erased == 0

    ((_, ((second, _),)),) = await store.client.xreadgroup("billing", "c", {stream: ">"}, count=1)
    await store.client.xack(stream, "billing", second)
    assert (await retention.sweep()).erased == 1
    assert [r async for r in read_usage(store)] == []
    assert await store.client.exists(f"{keys.tag(keys.partition(pid))}erasures") == 0


async def test_erasing_again_is_harmless(rights, names, ledger, pid, accounts):
    await rights.erase(pid, names, actor="cli")
    assert await accounts.pid_of(USER) is None
    again = await rights.erase_account(pid, accounts.names(USER))
    assert (again.deleted, again.waiting) == (0, 0)


async def test_a_new_account_of_the_same_person_is_another(rights, names, accounts, ledger, pid):
    await rights.erase(pid, names, actor="cli")
    fresh = await accounts.pid_of(USER, create=True)
    assert fresh != pid
    assert (await ledger.grant(fresh, 5, "g")).granted == 5


async def test_an_erased_accounts_lease_is_not_reaped(rights, names, ledger, store, pid, make_record):
    orphan = make_record("r1", pid, charge=6)
    await ledger.reserve(Reservation("r1", pid, 10, 0, 0, Limits(), orphan))
    await rights.erase(pid, names, actor="cli")
    epoch = Epoch(store)
    await epoch.look()
    await Reaper(store, ledger, epoch, lease_ms=0).turn()
    assert [r async for r in read_usage(store)] == []


async def test_a_correction_replaces_the_record(rights, ledger, store, pid, make_record):
    await ledger.settle([make_record("r1", pid, charge=30, out_visible=9)])
    better = await rights.rectify(pid, "r1", actor="support1", charge=10, out_visible=3)
    assert (better.rev, better.charge, better.out_visible) == (2, 10, 3)
    again = await rights.rectify(pid, "r1", actor="support1", charge=11)
    assert again.rev == 3
    assert [r async for r in read_usage(store)] == [again]
    assert (await ledger.account(pid)).spent == 11
    assert await rights.rectify(pid, "nothing", actor="support1", charge=1) is None
    with pytest.raises(TypeError):
        await rights.rectify(pid, "r1", actor="support1", prompt="x")


async def test_of_corrections_at_the_same_time_one_is_made_and_the_others_hear_the_rank(
    rights, ledger, store, pid, make_record
):
    await ledger.settle([make_record("r1", pid, charge=30)])
    done = await asyncio.gather(
        *(rights.rectify(pid, "r1", actor="support1", charge=1000 + number) for number in range(8)),
        return_exceptions=True,
    )
    made = [found for found in done if not isinstance(found, RecordMoved)]
    assert all(found.rev <= max(record.rev for record in made) for found in done)
    assert len({record.rev for record in made}) == len(made) < 8
    [held] = [record async for record in read_usage(store)]
    assert held == max(made, key=lambda record: record.rev)
    assert (await ledger.account(pid)).spent == held.charge


async def test_a_correction_of_another_rank_than_stated_is_not_made(rights, ledger, store, pid, make_record):
    await ledger.settle([make_record("r1", pid, rev=1, charge=30)])
    first = await rights.rectify(pid, "r1", actor="support1", rev=1, charge=10)
    assert first.rev == 2
    for seen in (0, 1, 3):
        with pytest.raises(RecordMoved) as caught:
            await rights.rectify(pid, "r1", actor="support1", rev=seen, charge=11)
        assert caught.value.rev == 2
    assert [record async for record in read_usage(store)] == [first]
    assert (await rights.rectify(pid, "r1", actor="support1", rev=2, charge=11)).rev == 3


async def test_who_did_what_is_noted(rights, names, ledger, store, pid, make_record):
    await ledger.settle([make_record("r1", pid, charge=100)])
    await rights.rectify(pid, "r1", actor="support1", charge=10)
    await rights.erase(pid, names, actor="cli")
    noted = [(entry.actor, entry.action, entry.pid) async for entry in read_audit(store)]
    assert noted == [("support1", "corrected", pid), ("cli", "erased", pid)]
    with pytest.raises(ValueError, match="id"):
        await rights.erase(pid, names, actor="ann@example.com")
