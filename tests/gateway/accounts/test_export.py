"""A copy of an account has every value that the store holds under a key of it, but for digests of secrets."""

from __future__ import annotations

import csv
import io
import json
import re
import time

import msgspec
import pytest

from gateway.accounts.export import PersonExport, export_account
from gateway.auth import choice, sessions
from gateway.auth.choice import Choice
from gateway.auth.entitlements import Entitlements
from gateway.oauth import refresh
from gateway.oauth.device import Redeemed
from gateway.portal import personal
from gateway.portal.personal import Scope
from metering.accounts.audit import Actor
from metering.accounts.credit_watch import CreditWatch
from metering.accounts.holdings import STATES
from metering.keys import KEPT, kind_of
from metering.ledger.types import Limits, Reservation
from metering.reading.consumer import BillingReader
from metering.store.epoch import Epoch
from metering.stripe import set_aside
from metering.stripe.export import GROUP, StripeExport
from tests.gateway.billing_fixtures import KEY, USER, accounts, admin, erased, record
from tests.ledger_fixtures import embedded_url, folder, ledger, store, store_url

__all__ = ["accounts", "admin", "embedded_url", "erased", "folder", "ledger", "store", "store_url"]

DAY_MS = 86_400_000
DIGEST = re.compile(r"[0-9a-f]{64}")  # HMAC-SHA-256: of a token
OTHER = "bob@example.com"
IDS_IN_FIELDS = ("m:{p}:holds:<pid>", "m:{p}:refused")


def pieces(value):
    """The words and numbers of a value of the store, or of a document; names of members too."""
    match value:
        case dict():
            return set().union(*(pieces(part) for item in value.items() for part in item))
        case list() | tuple():
            return set().union(*map(pieces, value))
        case bytes():
            return pieces(value.decode())
        case str() if value[:1] in ("{", "["):
            return pieces(json.loads(value))
        case float():
            return {str(int(value))}
        case None:
            return set()
        case bool():
            return {str(value), str(int(value))}
    return set(re.split(r"[\0:\n\s]", str(value))) - {""}


async def content(client, name, form):
    """What a key holds. Of a hash its values, and its fields too if these are ids."""
    match await client.type(name):
        case b"string":
            return await client.get(name)
        case b"hash":
            found = await client.hgetall(name)
            return found if form in IDS_IN_FIELDS else list(found.values())
        case b"list":
            return await client.lrange(name, 0, -1)
        case b"zset":
            found = dict(await client.zrange(name, 0, -1, withscores=True))
            return list(found) if form == "m:{p}:replaced" else found  # its scores are the times of its members
    found = await client.xrange(name)
    return [(entry.partition(b"-")[0], fields) for entry, fields in found] if form == "audit" else found


def parts(value):
    """The entries of a key that several accounts share."""
    return list(value.items()) if isinstance(value, dict) else value if isinstance(value, list) else [value]


def shows(piece, form):
    """How an export says what the store says in a letter, and what it says of digests: nothing."""
    if form == "m:{p}:req:<rid>" and piece in STATES:
        return STATES[piece]
    return "" if DIGEST.fullmatch(piece) and form.startswith(("s:", "f:")) else piece


async def lived(admin, store, ledger, user, start):
    """An account with something of every kind; ``start`` makes its numbers unlike others'."""
    now = int(time.time() * 1000)
    stated = Entitlements(
        start + 1,
        "pro",
        frozenset({"model-a", "model-b"}),
        "eu",
        org="acme",
        min_app={"linux": "1.2"},
        max_retention_days=30,
    )
    await admin.entitle(user, stated, actor="billing")
    pid = (await admin.grant(user, start + 90_000, f"first{start}", actor="billing")).pid
    await admin.set_customer(user, f"cus_{start}", actor="billing")
    await choice.write(store, pid, Choice("cloud", "us", 29))
    client = store.client
    signed_in = await refresh.begin(
        client, KEY, Redeemed(pid, "pro", "inference", "1.2.3", "linux-x64"), client_id="codegrex-ide"
    )
    assert isinstance(await refresh.rotate(client, KEY, signed_in.refresh_token), refresh.Tokens)
    await personal.create(store, KEY, pid=pid, name=f"laptop{start}", scopes=(Scope.MODELS,), life_s=5_000)
    await client.zadd(sessions.index_key(pid), {f"gone{start}": now - DAY_MS // 2})
    limits = Limits(requests_per_minute=10, tokens_per_minute=100_000)
    orphan = record(f"open{start}", pid, charge=start + 11, in_uncached=start + 12)
    await ledger.reserve(
        Reservation(f"open{start}", pid, start + 13, start + 14, 60_000, limits, orphan, worst=start + 15, least=start)
    )
    lane = Reservation(f"lane{start}", pid, 10, 5, 60_000, limits, lane=f"{'s' * 20}:3")
    await ledger.reserve(lane)
    await ledger.settle([record(f"r1{start}", pid, charge=start + 21), record(f"r2{start}", pid, charge=start + 22)])
    await ledger.settle([record(f"r1{start}", pid, rev=2, charge=start + 23)])
    await ledger.settle([record(f"late{start}", pid, started_ms=now - 40 * DAY_MS, charge=start + 24)])
    await admin.restrict(pid, restricted=True, actor="support")
    watch = CreditWatch(store, ledger, low=10**9, on_low=lambda *_: None, on_exhausted=lambda *_: None)
    watch.settled(record(f"r1{start}", pid))
    await watch.look()
    refused = set_aside.Charge(f"r2{start}", pid, 1, start + 22, now)
    await set_aside.put(store, refused, now // 1000)
    return pid


async def send(**_):
    """Takes whatever it is given."""


async def sent_to_stripe(store):
    epoch = Epoch(store)
    await epoch.look()
    reader = BillingReader(store, epoch, group=GROUP, consumer="one")
    await reader.open()
    await StripeExport(store, reader, send).run()


async def two_accounts(admin, store, ledger):
    pid = await lived(admin, store, ledger, USER, 700_000)
    other = await lived(admin, store, ledger, OTHER, 800_000)
    await sent_to_stripe(store)
    return pid, other


async def keys_of_account(store, known):
    """What is held under each key of the account, with the key's kind: of a key that others share, its own entries."""
    async for key in store.client.scan_iter(count=1_000):
        kind = kind_of(key.decode())
        value = await content(store.client, key, kind.form)
        if pieces(re.sub(r"[{}]", ":", key.decode())) & known:
            yield kind, value
            continue
        for part in parts(value):
            if pieces(part) & known:
                yield kind, part


async def test_a_copy_has_what_every_key_of_the_account_holds(admin, store, ledger):
    pid, other = await two_accounts(admin, store, ledger)
    held = await export_account(store, ledger, pid, actor="portal")
    document = json.loads(json.dumps(held.json()))
    said = {section: pieces(content) | {pid} for section, content in document.items()}
    known = {pid, *held.rids, *held.entries, *(one.sid for one in held.sessions)}
    seen, secret = set(), set()
    async for kind, value in keys_of_account(store, known):
        seen.add(kind.form)
        secret |= {piece for piece in pieces(value) if DIGEST.fullmatch(piece) and kind.form.startswith(("s:", "f:"))}
        shown = {""}.union(*(said[section] for section in kind.sections))
        missing = {piece for piece in pieces(value) if not {piece, shows(piece, kind.form)} & shown}
        assert not kind.sections or not missing, (kind.form, missing)
    assert {kind.form for kind in KEPT if kind.sections} - seen == set()

    assert {section for kind in KEPT for section in kind.sections} == set(document)
    assert [section for section, content in document.items() if content in (None, [], {})] == []
    assert all(kind.sections or kind.left_out for kind in KEPT)
    assert other not in pieces(document)
    assert not [one for one in pieces(document) if one.startswith(("80", "cus_80", "r180", "laptop80"))]
    assert len(secret) == 5  # two tokens of the sign-in and the ones before them, one personal token
    assert not secret & pieces(document)
    assert not [one for one in secret if one in held.csv()]


async def test_a_copy_is_the_same_whoever_asks_as_a_document_and_as_a_table(admin, store, ledger):
    pid, _ = await two_accounts(admin, store, ledger)
    held = await export_account(store, ledger, pid, actor="billing")
    one, two = held.json(), (await export_account(store, ledger, pid, actor=Actor.PORTAL)).json()
    assert {section for section in one if one[section] != two[section]} == {"audit"}  # which notes the second one
    assert [entry["actor"] for entry in two["audit"]][-2:] == ["billing", "portal"]
    assert msgspec.convert(one, PersonExport).json() == one

    rows = list(csv.DictReader(io.StringIO(held.csv())))
    assert {row["section"] for row in rows} == set(one)
    assert [row["value"] for row in rows if (row["section"], row["field"]) == ("records", "charge")] == [
        "700022",
        "700023",
    ]
    assert ("choice", "region", "us") in {(row["section"], row["field"], row["value"]) for row in rows}
    usage = list(csv.DictReader(io.StringIO(held.usage_csv())))
    assert [row["charge"] for row in usage] == ["700022", "700023"]


async def test_of_an_erased_account_there_is_no_copy_and_of_an_empty_one_there_is(admin, store, ledger, accounts):
    pid = await accounts.pid_of(USER, create=True)
    empty = await export_account(store, ledger, pid, actor=Actor.CLI)
    assert (empty.account.granted, empty.records, empty.choice) == (0, (), Choice())
    await admin.erase(pid, accounts.names(USER), actor=Actor.CLI)
    assert await export_account(store, ledger, pid, actor=Actor.CLI) is None
    with pytest.raises(ValueError, match="id"):
        await export_account(store, ledger, pid, actor="ann@example.com")
