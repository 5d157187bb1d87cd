"""What is done to an account reaches everything that is held about it."""

from __future__ import annotations

import csv
import io
import json

import pytest

from gateway.accounts.administration import Administration
from gateway.accounts.export import export_account
from gateway.auth import choice, entitlements, sessions
from gateway.auth.announcements import Announcement, Listener, Topic
from gateway.auth.choice import Choice
from gateway.auth.entitlements import Entitlements, NotOfItsForm
from metering import keys
from metering.accounts.audit import read_audit
from metering.ledger.ledger import LedgerUnavailable, Limits, Refused, Reservation, Reserved
from metering.reading.consumer import BillingReader
from metering.store.epoch import Epoch
from metering.store.store import Store, Unconfirmed
from metering.stripe.customers import customer_of
from tests.gateway.auth.test_announcements import until
from tests.gateway.billing_fixtures import KEY, USER, accounts, admin, erase, erased, record
from tests.ledger_fixtures import embedded_url, folder, ledger, store, store_url

__all__ = ["accounts", "admin", "embedded_url", "erased", "folder", "ledger", "store", "store_url"]


async def everything(store):
    """Every key of the store and what it holds, as one text: what grep would look through."""
    client = store.client
    seen = []
    async for name in client.scan_iter(count=1000):
        match await client.type(name):
            case b"string":
                value = await client.get(name)
            case b"hash":
                value = await client.hgetall(name)
            case b"list":
                value = await client.lrange(name, 0, -1)
            case b"set":
                value = await client.smembers(name)
            case b"zset":
                value = await client.zrange(name, 0, -1)
            case b"stream":
                value = await client.xrange(name)
        seen.append((name.decode(), repr(value)))
    return seen


async def lived(admin, store, ledger):
    """An account with everything that one can have."""
    await admin.entitle(USER, Entitlements(1, tier="pro", models=frozenset({"model-a"})), actor="billing")
    account = await admin.grant(USER, 100, "g1", actor="billing")
    await admin.set_customer(USER, "cus_123", actor="billing")
    for _ in range(2):
        await sessions.create(store.client, KEY, pid=account.pid, tier="pro")
    await ledger.settle([record("r1", account.pid, charge=3), record("r2", account.pid, charge=4)])
    await ledger.reserve(Reservation("open", account.pid, 10, 0, 60_000, Limits()))
    return account.pid


async def test_an_export_holds_everything_as_json_and_as_csv(admin, store, ledger):
    pid = await lived(admin, store, ledger)
    held = await export_account(store, ledger, pid, actor="portal")
    found = json.loads(json.dumps(held.json()))
    assert found["account"]["spent"] == 7
    assert found["entitlements"]["models"] == ["model-a"]
    assert [one["amount"] for one in found["grants"]] == [100]
    assert [one["pid"] for one in found["sessions"]] == [pid, pid]
    assert [one["rid"] for one in found["records"]] == ["r1", "r2"]
    assert [one["rid"] for one in found["running"]] == ["open"]
    assert [one["action"] for one in found["audit"]] == ["tier_set", "granted", "customer_set", "exported"]
    rows = list(csv.DictReader(io.StringIO(held.csv())))
    assert {row["section"] for row in rows} == {
        section for section, content in found.items() if content not in ([], {})
    }
    charges = [row["value"] for row in rows if (row["section"], row["field"]) == ("records", "charge")]
    assert charges == ["3", "4"]
    assert ("running", "open") in {(row["section"], row["value"]) for row in rows}


async def test_a_user_who_only_signed_in_has_an_export(store, ledger, accounts):
    pid = await accounts.pid_of(USER, create=True)
    await sessions.create(store.client, KEY, pid=pid, tier="default")
    assert len((await export_account(store, ledger, pid, actor="cli")).sessions) == 1


async def test_after_an_erasure_nothing_but_the_tombstone_leads_to_the_account(admin, store, ledger, accounts, erased):
    pid = await lived(admin, store, ledger)
    names = accounts.names(USER)
    held_sessions = [one.sid for one in await sessions.of_account(store.client, pid)]
    erasure = await erase(admin, actor="portal")
    assert (erasure.deleted, erasure.waiting, erased) == (2, 0, [pid])

    dump = await everything(store)
    assert not [name for name, value in dump for needle in (*names, *held_sessions) if needle in name + value]
    t = keys.tag(keys.partition(pid))
    left = {name.replace(t, "") for name, value in dump if pid in name + value}
    # docs/billing.md, "Erasure": the tombstones of the account, of its grants and of its requests, and the audit stream.
    grants = {name.replace(t, "") for name, _ in dump if name.startswith(f"{t}grant:{pid}:")}
    assert left - {"req:r1", "req:r2", "req:open"} == {f"acct:{pid}", "audit", *grants}
    assert await store.client.hkeys(f"{t}acct:{pid}") == [b"erased"]
    assert [entry.action async for entry in read_audit(store)][-2:] == ["revoked", "erased"]
    # A rewritten append-only file holds what the store holds, and no more.
    assert (await store.client.info("persistence"))["aof_last_bgrewrite_status"] == "ok"
    assert await erase(admin, actor="portal") is None


async def test_an_erasure_notes_what_it_revokes_on_disk_before_it_begins(store, ledger, accounts):
    class Journal:
        def __init__(self):
            self.noted = []

        def revoked(self, name):
            self.noted.append(("revoked", name))

        def erased(self, pid, names):
            self.noted.append(("erased", pid))

    journal = Journal()
    admin = Administration(store, ledger, accounts, KEY, journal=journal)
    pid = await lived(admin, store, ledger)
    first, second = [one.sid for one in await sessions.of_account(store.client, pid)]
    await sessions.revoke(store.client, first)  # once is enough
    await erase(admin, actor="portal")
    assert journal.noted == [("revoked", second), ("erased", pid)]


async def test_records_that_billing_has_not_booked_wait_and_so_does_the_customer(admin, store, ledger):
    epoch = Epoch(store)
    await epoch.look()
    reader = BillingReader(store, epoch, group="stripe", consumer="one")
    await reader.open()
    pid = await lived(admin, store, ledger)
    erasure = await erase(admin, actor="cli")
    assert (erasure.deleted, erasure.waiting) == (0, 2)
    assert await customer_of(store, pid) == "cus_123"
    t = keys.tag(keys.partition(pid))
    assert 0 < await store.client.pttl(f"{t}stripe:{pid}") <= 35 * 86_400_000
    deliveries = await reader.read()
    assert sorted(one.record.rid for one in deliveries) == ["r1", "r2"]
    await reader.ack(deliveries)
    assert (await admin.rights.erase_account(pid)).deleted == 2
    assert await customer_of(store, pid) is None


async def test_an_erasure_that_broke_off_is_finished_later(admin, store, ledger, monkeypatch):
    pid = await lived(admin, store, ledger)

    async def away(*_arguments):
        raise LedgerUnavailable(maybe_ran=True)

    with monkeypatch.context() as patch:
        patch.setattr(ledger.calls, "run", away)
        with pytest.raises(LedgerUnavailable):
            await erase(admin, actor="cli")
    left = await sessions.of_account(store.client, pid)
    assert [one.revoked_ms is None for one in left] == [False, False]
    assert await admin.rights.resume() == 1
    assert await sessions.of_account(store.client, pid) == []
    assert await ledger.account(pid) is None
    assert await admin.rights.resume() == 0


async def test_entitlements_never_go_back_and_the_ledger_s_tier_follows(admin, store, ledger):
    account, stated = await admin.entitle(USER, Entitlements(2, tier="pro"), actor="billing")
    assert (account.tier, stated.version) == ("pro", 2)
    assert await admin.entitle(USER, Entitlements(1, tier="free"), actor="billing") is None
    assert await admin.entitle(USER, Entitlements(2, tier="free"), actor="billing") is None
    again, _ = await admin.entitle(USER, Entitlements(2, tier="pro"), actor="billing")
    assert again.tier == "pro"
    assert (await entitlements.read(store.client, account.pid)).tier == "pro"


async def test_what_might_not_survive_a_failover_is_not_said_to_be_stated(ledger, accounts, store, monkeypatch):
    # It is to be on a replica, and there is none; the link from the user to the account is made before that.
    lone = Administration(Store(store.client, store.info, replicas=1), ledger, accounts, KEY)
    with pytest.raises(Unconfirmed):
        await lone.entitle(USER, Entitlements(1, tier="pro"), actor="billing")
    with pytest.raises(Unconfirmed):
        await lone.entitle_organisation("acme", Entitlements(1), actor="billing")

    confirmed = []

    async def confirm(key):
        confirmed.append(key)

    monkeypatch.setattr(store, "confirm", confirm)
    again = await Administration(store, ledger, accounts, KEY).entitle(
        USER, Entitlements(1, tier="pro"), actor="billing"
    )
    pid = again[0].pid  # the repeated call is no conflict
    assert confirmed == [f"a:{pid}", keys.tag(keys.partition(pid))]


async def test_no_act_is_said_to_be_done_that_might_not_survive_a_failover(admin, store, ledger, monkeypatch):
    pid = (await admin.grant(USER, 100, "g1", actor="billing")).pid
    await ledger.settle([record("r1", pid, charge=3)])

    async def confirm(_key):
        raise Unconfirmed

    monkeypatch.setattr(store, "confirm", confirm)
    for act in (
        admin.restrict(pid, restricted=True, actor="cli"),
        admin.choose(pid, Choice("local"), actor="portal"),
        admin.rights.rectify(pid, "r1", actor="cli", charge=2),
        admin.set_customer(USER, "cus_1", actor="billing"),
        admin.grant(USER, 1, "g2", actor="billing"),
        admin.erase(pid, (), actor="cli"),
    ):
        with pytest.raises((Unconfirmed, LedgerUnavailable)):
            await act


async def test_an_organisation_s_entitlements_never_go_back_and_hold_for_its_accounts(admin, store):
    account, stated = await admin.entitle(USER, Entitlements(1, org="acme"), actor="billing")
    assert (await admin.organisation("acme")).version == 0
    written = await admin.entitle_organisation("acme", Entitlements(2, region="eu"), actor="billing")
    assert written == Entitlements(2, region="eu") == await admin.organisation("acme")
    assert await admin.entitle_organisation("acme", Entitlements(1), actor="billing") is None
    assert await entitlements.read_org(store.client, stated.org) == written  # what the account is led to
    assert (await admin.organisation("other")).version == 0
    noted = [(entry.action, entry.pid) async for entry in read_audit(store)]
    assert noted == [("tier_set", account.pid), ("organisation_set", ""), ("organisation_set", "")]


async def test_workers_hear_of_an_organisation_whose_entitlements_changed(admin, store):
    heard = []
    listener = Listener(store.endpoint)
    listener.on(Topic.POLICY_CHANGED, heard.append)
    await listener.start()
    await admin.entitle_organisation("acme", Entitlements(2), actor="billing")
    await admin.entitle_organisation("acme", Entitlements(1), actor="billing")  # refused, so nothing changed
    await admin.entitle_organisation("other", Entitlements(1), actor="billing")
    expected = [Announcement(Topic.POLICY_CHANGED, org=entitlements.org_digest(KEY, org)) for org in ("acme", "other")]
    await until(lambda: len(heard) == 2)
    assert heard == expected
    await listener.close()


async def test_a_restricted_account_is_left_alone_until_it_is_not(admin, store, ledger):
    pid = (await admin.grant(USER, 100, "g1", actor="billing")).pid
    await ledger.reserve(Reservation("r1", pid, 10, 0, 60_000, Limits()))
    assert (await admin.restrict(pid, restricted=True, actor="support1")).restricted
    refused = await ledger.reserve(Reservation("r2", pid, 10, 0, 60_000, Limits()))
    assert isinstance(refused, Refused)
    assert refused.reason == "restricted"
    await ledger.settle([record("r1", pid, charge=3)])  # what ran is settled
    assert not (await admin.restrict(pid, restricted=False, actor="cli")).restricted
    assert isinstance(await ledger.reserve(Reservation("r3", pid, 10, 0, 60_000, Limits())), Reserved)
    assert await admin.restrict("pnobody", restricted=True, actor="cli") is None
    noted = [(entry.actor, entry.action) async for entry in read_audit(store) if entry.pid == pid]
    assert noted == [("billing", "granted"), ("support1", "restricted"), ("cli", "unrestricted")]
    with pytest.raises(ValueError, match="id"):
        await admin.restrict(pid, restricted=False, actor="ann@example.com")


async def test_a_choice_is_noted_and_only_what_can_be_chosen_is_kept(admin, store):
    pid = (await admin.grant(USER, 100, "g1", actor="billing")).pid
    await admin.choose(pid, Choice("local", "eu", 30), actor="portal")
    for wrong in (Choice("both"), Choice(region="global"), Choice(region="local"), Choice(max_retention_days=-1)):
        with pytest.raises(NotOfItsForm):
            await admin.choose(pid, wrong, actor="portal")
    assert await choice.read(store.client, pid) == Choice("local", "eu", 30)
    noted = {(entry.actor, entry.action) async for entry in read_audit(store) if entry.pid == pid}
    assert ("portal", "chosen") in noted
