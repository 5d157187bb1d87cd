"""The code in docs/billing.md runs, as it stands there."""

from __future__ import annotations

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import msgspec
import pytest

from gateway.accounts.webhooks import WebhookEvent
from gateway.internal import shapes
from gateway.internal.operations import OPERATIONS
from metering.accounts.audit import Action, Actor
from tests.gateway.billing_fixtures import record
from tests.ledger_fixtures import embedded_url, folder, ledger, store, store_url

__all__ = ["embedded_url", "folder", "ledger", "store", "store_url"]

TEXT = (Path(__file__).parent.parent / "docs/billing.md").read_text()
OVER_HTTP, IN_PYTHON = re.findall(r"```python\n(.*?)```", TEXT, re.DOTALL)


class Booked(dict):
    """What a billing service keeps: by rid, the highest rank."""

    def book(self, found):
        record = found if isinstance(found, dict) else {"rid": found.rid, "rev": found.rev, "charge": found.charge}
        if self.get(record["rid"], {"rev": -1})["rev"] < record["rev"]:
            self[record["rid"]] = record


class Pages(BaseHTTPRequestHandler):
    """Two records, a failover, and a third that was written again."""

    def do_GET(self):
        self.server.asked.append(self.path)
        after = self.path.partition("after=")[2]
        epoch = "one" if len(self.server.asked) < 3 else "two"
        first = [{"rid": "r1", "rev": 0, "charge": 9}, {"rid": "r2", "rev": 1, "charge": 4}]
        again = [{"rid": "r1", "rev": 1, "charge": 5}]
        records = first if not after else again if after == "100000" else []
        self.answer({"records": records, "after": "1000000-0-7" if records else after, "epoch": epoch})

    def do_POST(self):
        assert self.headers["authorization"] == "Bearer t"
        self.server.acked.append(json.loads(self.rfile.read(int(self.headers["content-length"])))["after"])
        self.answer({"after": ""})

    def answer(self, body):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *arguments):
        pass


@pytest.fixture
def pages():
    with ThreadingHTTPServer(("127.0.0.1", 0), Pages) as server:
        server.asked, server.acked = [], []
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def test_the_reader_over_http_books_each_once_and_goes_back_after_a_failover(pages):
    scope = {}
    exec(OVER_HTTP, scope)
    booked = Booked()
    base = f"http://127.0.0.1:{pages.server_address[1]}"
    place = scope["read_on"](base, "t", "", "", booked.book)
    assert place == ("1000000-0-7", "one")
    assert scope["read_on"](base, "t", *place, booked.book) == ("1000000-0-7", "two")
    assert {rid: one["charge"] for rid, one in booked.items()} == {"r1": 5, "r2": 4}
    assert [path.partition("after=")[2] for path in pages.asked] == [
        "",
        "1000000-0-7",
        "1000000-0-7",
        "100000",
        "1000000-0-7",
    ]
    assert pages.acked == ["1000000-0-7", "1000000-0-7"]


async def test_the_reader_in_python_books_each_once(store, ledger, folder):
    await ledger.settle([record("r1", "p1", charge=3), record("r2", "p2", charge=4)])
    scope = {}
    exec(IN_PYTHON, scope)
    booked = Booked()
    await scope["book_all"]("embedded:", folder, booked.book)
    assert {rid: one["charge"] for rid, one in booked.items()} == {"r1": 3, "r2": 4}
    again = Booked()
    await scope["book_all"]("embedded:", folder, again.book)
    assert again == {}


def test_the_tables_are_the_operations_and_the_events():
    table = re.findall(r"^\| `([A-Z]+) (/internal/[^`?]*)[^|]*\| `([a-z:]+)`", TEXT, re.MULTILINE)
    assert set(table) == {(one.method, one.path, one.scope.value) for one in OPERATIONS}
    named = set(re.findall(r"`((?:credits|account|session)\.[a-z_]+)`", TEXT))
    assert named == {kind.value for kind in WebhookEvent}


def test_the_document_names_every_actor_and_every_action_of_the_audit_stream():
    section = TEXT.partition("## The audit stream")[2].partition("\n## ")[0]
    assert re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE) == ["actor", *Actor]
    assert set(re.findall(r"`(\w+)`", section.rpartition("`action`")[2])) == set(Action)


def test_each_body_of_the_document_is_one():
    section = TEXT.partition("### Bodies")[2].partition("\n## ")[0]
    rows = re.findall(r"^\| `([A-Z]+) (/\S+)` \| `(.+?)` \|", section, re.MULTILINE)
    bodies = {(method, path): body for method, path, body in rows}
    bodies.pop(("POST", "/oauth/introspect"))
    assert bodies.keys() == {(one.method, one.path) for one in OPERATIONS if one.body is not None}
    for one in OPERATIONS:
        if one.body is not None:
            msgspec.json.decode(bodies[one.method, one.path], type=one.body)
    stated = json.loads(bodies["PUT", "/internal/accounts/{user}"])
    assert stated.keys() == set(shapes.EntitlementsBody.__struct_fields__)
