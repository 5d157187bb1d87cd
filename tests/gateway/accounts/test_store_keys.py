"""Every key of the store is of a kind that `metering.keys.KEPT` lists, docs/privacy.md has the same list, and none is
listed that is never written. What gateways write in real exchanges is looked at when each ends
(`tests.gateway_process`)."""

from __future__ import annotations

import re
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway.accounts.administration import Administration
from gateway.auth import choice, entitlements, sessions, switches
from gateway.auth.attempts import UserCodeAttempts
from gateway.auth.choice import Choice
from gateway.auth.entitlements import Entitlements
from gateway.auth.switches import Switchable
from gateway.oauth import device, refresh
from gateway.oauth.device import Redeemed
from metering import keys
from metering.accounts import audit
from metering.accounts.audit import Action, Actor
from metering.accounts.credit_watch import CreditWatch
from metering.accounts.identity_map import Accounts, IdentityKey
from metering.accounts.retention import Retention
from metering.accounts.sweeper import Sweeper
from metering.keys import KEPT, kind_of
from metering.ledger.ledger import Ledger
from metering.ledger.types import Limits, Reservation
from metering.reading.consumer import BillingReader
from metering.reading.reader import Page, note_given
from metering.settlement.reaper import Reaper
from metering.store.epoch import Epoch
from metering.store.store import Store, open_store
from metering.stripe import customers, set_aside
from metering.stripe.export import GROUP, StripeExport
from tests.gateway_process import GatewayProcess
from tests.ledger_fixtures import RaisingLedger, usage_record

KEY = b"k" * 32
USER = "ann@example.com"
DAY_MS = 86_400_000
TABLE = re.compile(r"^\| `([^`|]+)` \| ([^|]+) \| ([^|]+) \| ([^|]+) \|$", re.MULTILINE)


@pytest.fixture
async def ledger(store: Store) -> AsyncIterator[Ledger]:
    opened = RaisingLedger(store, timeout=5)
    await opened.load()
    yield opened
    await opened.close()


class Seen:
    """The kinds of the keys that were in the store when it was looked at."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self.forms: set[str] = set()

    async def look(self) -> None:
        for name in [name async for name in self._store.client.scan_iter(count=1_000)]:
            kind = kind_of(name.decode())
            assert kind is not None, name
            self.forms.add(kind.form)


def exported(kind: keys.KeyKind) -> str:
    sections = " ".join(f"`{section}`" for section in kind.sections)
    if not kind.left_out:
        return sections
    return f"{sections}; not {kind.left_out}" if sections else f"no: {kind.left_out}"


def test_the_document_has_every_kind_of_key_and_no_other() -> None:
    page = (Path(__file__).parents[3] / "docs/privacy.md").read_text().split("### Every key of the store")[1]
    assert TABLE.findall(page.split("\n#")[0]) == [(kind.form, kind.holds, kind.life, exported(kind)) for kind in KEPT]


@pytest.mark.parametrize("kind", KEPT, ids=lambda kind: kind.form)
def test_a_kind_names_its_own_keys_only(kind: keys.KeyKind) -> None:
    name = kind.form.replace("{p}", "{7}").replace("<digest>", "0" * 64).replace("<slot>", "3")
    name = name.replace("<switch>", "model")
    name = name.replace("<policy>", "tokens").replace("<pid>", "pa").replace("<sid>", "s1").replace("<rid>", "req_1")
    assert [one for one in KEPT if one.names(name)] == [kind]
    for other in (f"{name}:more", f"x{name}", name.upper(), f"{name}\n"):
        assert kind_of(other) is None


async def accounts_and_sign_ins(store: Store, pid: str) -> None:
    client = store.client
    await device.start(client, KEY, client_id="codegrex-ide")
    await refresh.begin(client, KEY, Redeemed(pid, "default", "inference", "", ""), client_id="codegrex-ide")
    await UserCodeAttempts(client, KEY).admit("192.0.2.1")
    await entitlements.write_org(client, entitlements.org_digest(KEY, "acme"), Entitlements(1))
    await choice.write(store, pid, Choice("local"))
    await audit.note(store, Actor.CLI, Action.GRANTED, pid)
    await switches.switch(store, Switchable.MODEL, "m", off=True)
    await note_given(store, "billing", Page((), "", 1))
    await store.confirm(pid)


async def requests(store: Store, ledger: Ledger, pid: str) -> None:
    now = int(time.time() * 1000)
    limits = Limits(requests_per_minute=10, tokens_per_minute=1_000)
    await ledger.reserve(Reservation("r1", pid, 10, 5, 60_000, limits))
    await ledger.reserve(Reservation("r2", pid, 10, 5, 60_000, limits, lane=f"{'s' * 20}:3"))
    await ledger.settle([usage_record("r3", pid), usage_record("r4", pid, charge=2_000)])
    await ledger.settle([usage_record("r3", pid, rev=2, charge=9)])
    await ledger.settle([usage_record("r5", pid, started_ms=now - 40 * DAY_MS)])
    watch = CreditWatch(store, ledger, low=10, on_low=lambda *_: None, on_exhausted=lambda *_: None)
    watch.settled(usage_record("r4", pid))
    await watch.look()


async def stripe(store: Store, pid: str) -> None:
    async def send(**_: object) -> None:
        """Takes whatever it is given."""

    await customers.assign(store, pid, "cus_1")
    epoch = Epoch(store)
    await epoch.look()
    reader = BillingReader(store, epoch, group=GROUP, consumer="one")
    await reader.open()
    await StripeExport(store, reader, send).run()
    await set_aside.put(store, set_aside.Charge.of(usage_record("r6", pid)), int(time.time()))


async def test_each_kind_is_written_and_nothing_else(store: Store, ledger: Ledger) -> None:
    seen = Seen(store)
    accounts = Accounts(store, [IdentityKey(1, KEY)])
    pid = await accounts.pid_of(USER, create=True)
    assert pid is not None
    await ledger.grant(pid, 1_000, "first")
    await accounts_and_sign_ins(store, pid)
    await requests(store, ledger, pid)
    epoch = Epoch(store)
    await epoch.look()
    assert await Reaper(store, ledger, epoch, lease_ms=60_000)._elected()
    await Sweeper(store, Retention(store, ledger)).turn()
    await seen.look()
    await stripe(store, pid)
    await ledger.settle([usage_record("r7", pid)])  # billing has not read it when its account is erased
    await seen.look()
    admin = Administration(store, ledger, accounts, KEY)

    async def look(_pid: str) -> None:
        await seen.look()

    admin.rights._forgetters = (look, *admin.rights._forgetters)
    await admin.erase(pid, accounts.names(USER), actor=Actor.CLI)
    await seen.look()
    assert {kind.form for kind in KEPT} - seen.forms == set()
    left = [name.decode() async for name in store.client.scan_iter(match=f"*{pid}*")]
    assert not await sessions.of_account(store.client, pid)
    assert {kind.form for name in left if (kind := kind_of(name)) is not None} <= {
        "m:{p}:acct:<pid>", "m:{p}:erase:<pid>", "m:{p}:grant:<pid>:<digest>", "m:{p}:lane:<pid>:<sid>:<slot>",
        "m:{p}:stripe:<pid>",
    }  # fmt: skip


async def test_a_gateway_that_wrote_another_key_fails_its_test(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path / "data")
    await store.client.mset({"audit:ann": "1", "m:{7}:usage": "1"})
    assert GatewayProcess(tmp_path, {}, []).undocumented_keys() == ["audit:ann"]
    await store.close()
