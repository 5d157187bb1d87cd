"""Charges reach a meter once, over Stripe's own SDK and a local server that speaks its API."""

from __future__ import annotations

import contextlib
import json
import random
import subprocess
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs

import pytest

from gateway.config.reader import NAME
from metering import keys
from metering.accounts.identity_map import Accounts, IdentityKey
from metering.reading.consumer import BillingReader
from metering.reading.reader import book
from metering.store.epoch import Epoch
from metering.stripe import customers as stripe_customers
from metering.stripe import set_aside
from metering.stripe.export import GROUP, IDENTIFIER_SECONDS, SUSPICIOUS, StripeExport, StripeMisconfigured
from metering.stripe.meter import StripeUnreachable, stripe_meter

DAY = 86_400


class Stripe(ThreadingHTTPServer):
    """``POST /v1/billing/meter_events`` with its rules: identifiers once a day, times within the window."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Api)
        self.events = {}
        self.calls = 0
        self.statuses = []
        self.refuses = lambda form: False
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    @property
    def total(self):
        return sum(self.events.values())


class Api(BaseHTTPRequestHandler):
    def do_POST(self):
        form = {
            name: values[0]
            for name, values in parse_qs(self.rfile.read(int(self.headers["content-length"])).decode()).items()
        }
        server = self.server
        server.calls += 1
        assert self.path == "/v1/billing/meter_events"
        assert self.headers["authorization"] == "Bearer sk_test"
        assert (form["event_name"], form["payload[stripe_customer_id]"][:4]) == ("micro", "cus_")
        late, now = server.statuses.pop(0) if server.statuses else 200, time.time()
        if form["identifier"] in server.events:
            return self.answer(
                400,
                {"error": {"type": "invalid_request_error", "message": "An event already exists with identifier x."}},
            )
        if server.refuses(form):
            error = {"type": "invalid_request_error", "message": "No such meter"}
            return self.answer(400, {"error": error})
        if not now - 35 * DAY <= int(form["timestamp"]) <= now + 300:
            return self.answer(400, {"error": {"type": "invalid_request_error", "message": "timestamp"}})
        if late != 500:  # 502: taken, and the answer is lost
            server.events[form["identifier"]] = int(form["payload[value]"])
        return self.answer(late, {"object": "billing.meter_event"} if late == 200 else {"error": {"type": "api_error"}})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments):
        pass


@pytest.fixture
def stripe():
    with Stripe() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture
async def run(store, stripe):
    """One run of the exporter, as a process that restarted: nothing is remembered but in the store."""

    async def run(clock=time.time, again=None):
        epoch = Epoch(store)
        await epoch.look()
        reader = BillingReader(store, epoch, group=GROUP, consumer="one")
        await reader.open()
        meter = stripe_meter("sk_test", event_name="micro", base_url=stripe.url)
        exporter = StripeExport(store, reader, meter, clock=clock)
        return await (exporter.run() if again is None else exporter.again(frozenset(again)))

    for name in "123456":
        await stripe_customers.assign(store, f"p{name}", f"cus_{name}")
    return run


async def test_each_charge_is_sent_once_and_a_correction_as_the_difference(run, ledger, make_record, stripe):
    await ledger.settle([make_record("r1", "p1", rev=0, charge=9), make_record("r2", "p1", charge=4)])
    assert (await run()).sent == 2
    await ledger.settle([make_record("r1", "p1", rev=1, charge=5), make_record("r2", "p1", rev=2, charge=6)])
    assert (await run()).sent == 2
    assert stripe.events == {"r1:0": 9, "r2:1": 4, "r1:1": -4, "r2:2": 2}
    assert (await run()).sent == 0
    assert stripe.total == 11


async def test_ranks_in_any_order_end_at_the_highest(run, ledger, make_record, stripe):
    await ledger.settle([make_record("r1", "p1", rev=2, charge=7)])
    await run()
    await ledger.settle([make_record("r1", "p1", rev=1, charge=5)])
    await run()
    assert stripe.total == 7


@pytest.mark.parametrize("status", [500, 502])
async def test_a_lost_answer_neither_loses_nor_doubles(run, ledger, make_record, stripe, status):
    await ledger.settle([make_record("r1", "p1", charge=9)])
    stripe.statuses = [status]
    with pytest.raises(StripeUnreachable):
        await run()
    done = await run()
    assert (stripe.total, stripe.calls, done.refused) == (9, 2, 0)
    await ledger.settle([make_record("r1", "p1", rev=2, charge=10)])
    await run()
    assert stripe.total == 10


async def test_after_a_day_a_lost_answer_is_never_sent_again_and_told(run, ledger, make_record, stripe):
    await ledger.settle([make_record("r1", "p1", charge=9)])
    stripe.statuses = [502]
    with pytest.raises(StripeUnreachable):
        await run()
    done = await run(clock=lambda: time.time() + IDENTIFIER_SECONDS + 5)
    assert (done.uncertain, done.sent, stripe.calls) == (1, 0, 1)


async def test_what_is_too_old_is_counted_and_what_is_ahead_is_now(run, ledger, make_record, stripe):
    now = int(time.time() * 1000)
    await ledger.settle([make_record("r1", "p1", started_ms=now + 3_600_000), make_record("r2", "p1")])
    done = await run()
    assert (done.sent, done.refused) == (2, 0)
    await ledger.settle([make_record("r3", "p1")])
    assert (await run(clock=lambda: time.time() + 35 * DAY)).too_old == 1


async def test_an_account_without_a_customer_waits_for_one(run, store, ledger, make_record, stripe):
    await ledger.settle([make_record("r1", "p9", charge=3)])
    assert (await run()).no_customer == 1
    await stripe_customers.assign(store, "p9", "cus_9")
    assert (await run()).sent == 1
    assert stripe.total == 3


def of(customer):
    return lambda form: form["payload[stripe_customer_id]"] == customer


async def rids_set_aside(store):
    return [refused.charge.rid for refused in await set_aside.listed(store, int(time.time()))]


@pytest.mark.parametrize("accounts", [1, SUSPICIOUS - 1, SUSPICIOUS, 6])
async def test_a_meter_that_is_set_up_wrongly_loses_nothing(run, store, ledger, make_record, stripe, accounts):
    made = [make_record(f"r{at}", f"p{at % accounts + 1}", charge=9) for at in range(12)]
    await ledger.settle(made)
    stripe.refuses = lambda form: True
    for _ in range(3):
        stripe.calls = 0
        with pytest.raises(StripeMisconfigured) as caught:
            await run()
        assert set(caught.value.rids) <= {record.rid for record in made}
        assert (len(caught.value.rids), caught.value.said) == (min(accounts, SUSPICIOUS), "No such meter")
        assert stripe.calls == len(caught.value.rids)  # the others are not even tried
    assert await rids_set_aside(store) == []
    stripe.refuses = lambda form: False
    done = await run()
    assert (done.sent, done.refused, stripe.total) == (12, 0, 108)


async def test_a_charge_that_is_refused_while_others_are_taken_is_set_aside(run, store, ledger, make_record, stripe):
    await ledger.settle([make_record(f"r{at}", f"p{at}", charge=9) for at in range(1, 7)])
    stripe.refuses = of("cus_1")
    done = await run()
    assert (done.sent, done.refused, done.rids) == (5, 1, {"refused": ["r1"]})
    assert await rids_set_aside(store) == ["r1"]
    assert (await run()).refused == 0  # it is not tried in each run
    again = await run(again=["r1"])
    assert (again.sent, again.refused) == (0, 1)
    assert (await run(again=["r2"])).sent == 0  # nothing that was not refused
    stripe.refuses = lambda form: False
    assert (await run(again=[])).sent == 1
    assert await rids_set_aside(store) == []
    assert (await run(again=["r1"])).sent == 0
    assert stripe.total == 54


async def test_every_charge_of_a_customer_that_stripe_does_not_know_is_set_aside(
    run, store, ledger, make_record, stripe
):
    made = [make_record(f"r{at}", "p1", charge=9) for at in range(5)] + [make_record("last", "p2", charge=4)]
    await ledger.settle(made)
    stripe.refuses = of("cus_1")
    done = await run()
    assert (done.sent, done.refused) == (1, 5)
    assert sorted(await rids_set_aside(store)) == [f"r{at}" for at in range(5)]


async def test_a_correction_of_a_refused_charge_is_sent_whole(run, store, ledger, make_record, stripe):
    await ledger.settle([make_record("r1", "p1", rev=1, charge=9), make_record("r2", "p2", charge=4)])
    stripe.refuses = of("cus_1")
    await run()
    stripe.refuses = lambda form: False
    await ledger.settle([make_record("r1", "p1", rev=2, charge=7)])
    await run()
    assert stripe.events == {"r2:1": 4, "r1:2": 7}
    await run(again=["r1"])  # still listed, with nothing to send
    assert (stripe.total, await rids_set_aside(store)) == (11, [])


async def test_what_was_set_aside_is_dropped_when_stripe_would_not_take_it(run, store, ledger, make_record, stripe):
    await ledger.settle([make_record("r1", "p1", charge=9), make_record("r2", "p2", charge=4)])
    stripe.refuses = of("cus_1")
    await run()
    assert await set_aside.listed(store, int(time.time()) + set_aside.KEEP_SECONDS + 60) == []
    assert await rids_set_aside(store) == []


@pytest.mark.parametrize("seed", range(4))
async def test_whatever_goes_wrong_the_sum_is_right_in_the_end(run, store, ledger, make_record, stripe, seed):
    chance = random.Random(seed)
    wanted = {}
    for turn in range(8):
        made = []
        for at in range(chance.randrange(6)):
            rid = chance.choice([*wanted, f"r{turn}-{at}"]) if wanted else f"r{turn}-{at}"
            pid, rev, _ = wanted.get(rid, (f"p{chance.randrange(1, 7)}", 0, 0))
            wanted[rid] = (pid, rev + 1, chance.randrange(1, 50))
            made.append(make_record(rid, pid, rev=rev + 1, charge=wanted[rid][2]))
        await ledger.settle(made)
        stripe.refuses = chance.choice([lambda form: False, lambda form: True, of("cus_1"), of("cus_2")])
        stripe.statuses = chance.choices([200, 500, 502], [8, 1, 1], k=4)
        with contextlib.suppress(StripeUnreachable, StripeMisconfigured):
            await run(again=[] if chance.random() < 0.3 else None)
    stripe.refuses, stripe.statuses = (lambda form: False), []
    await run()
    await run(again=[])
    assert stripe.total == sum(charge for _, _, charge in wanted.values())
    assert await rids_set_aside(store) == []


def test_no_service_can_share_the_exporters_place():
    assert keys.is_id(GROUP)
    assert not NAME.fullmatch(GROUP)


async def test_a_service_named_stripe_takes_nothing_from_the_exporter(run, store, ledger, make_record, stripe):
    await ledger.settle([make_record("r1", "p1", charge=9)])
    await book(store, "stripe", str(int(time.time() * 1000) + 60_000))
    assert (await run()).sent == 1


async def test_the_command_sends_and_says_what_it_did(store, ledger, make_record, stripe, folder):
    key = "k" * 32
    pid = await Accounts(store, [IdentityKey(1, key.encode())]).pid_of("ann", create=True)
    await stripe_customers.assign(store, pid, "cus_1")
    await ledger.settle([make_record("r1", pid, charge=9)])
    (folder / "gateway.toml").write_text(
        f'[server]\ndata_dir = "{folder}"\n[identity]\nkey = "{key}"\n'
        f'[stripe]\napi_key = "sk_test"\nevent_name = "micro"\nbase_url = "{stripe.url}"\n'
        '[providers.openai]\nkind = "openai"\napi_keys = "k"\nretention_days = 0\ntraining = false\nregion = "global"\n'
    )
    command = [sys.executable, "-m", "gateway", "export", "stripe", "--config", str(folder / "gateway.toml"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["sent"] == 1
    assert stripe.events == {"r1:1": 9}
