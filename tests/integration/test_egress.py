"""A gateway connects to what its statement lists and to nothing else: every connection, recorded by the kernel."""

from __future__ import annotations

import json
import re
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from benchmarks.simulator import SimulatorProcess
from gateway.evidence.statement import WELL_KNOWN
from tests import supabase_project
from tests.contracts.servers import until
from tests.contracts.stores import store_of
from tests.gateway_process import GatewayProcess, model, provider, run_cli
from tests.raw_http import ask, request
from tests.tools import need, needs

pytestmark = needs("strace")

CONNECTED = re.compile(r'connect\(.*sin6?_port=htons\((\d+)\).*?(?:inet_addr\("|inet_pton\(AF_INET6, ")([^"]+)"')


class Receiver(ThreadingHTTPServer):
    """Takes webhooks."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Taken)
        self.got = threading.Event()


class _Taken(BaseHTTPRequestHandler):
    server: Receiver

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["content-length"]))
        self.send_response(204)
        self.end_headers()
        self.server.got.set()

    def log_message(self, *_arguments: Any) -> None: ...


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def stated(gateway: GatewayProcess) -> dict[str, set[str]]:
    """The hosts of the statement, by who names them."""
    found: dict[str, set[str]] = {}
    for place in ask(gateway.url, request("GET", WELL_KNOWN)).json()["document"]["egress"]:
        found.setdefault(place["for"], set()).add(place["host"])
    return found


def sign_in(gateway: GatewayProcess, token: str) -> int:
    begun = ask(gateway.url, request("GET", "/portal/sign-in?next=/account"))
    back = parse_qs(urlsplit(begun.headers["location"]).query)["redirect_to"][0]
    state = parse_qs(urlsplit(back).query)["state"][0]
    cookie = begun.headers["set-cookie"].split(";")[0]
    headers = {"origin": "http://gateway.test", "cookie": cookie, "content-type": "application/json"}
    body = json.dumps({"access_token": token, "state": state}).encode()
    return ask(gateway.url, request("POST", "/portal/session", body, headers=headers)).status


def test_a_gateway_connects_to_what_it_states(tmp_path: Path, receiver: Receiver) -> None:
    record = tmp_path / "connections"
    prefix = [need("strace"), "-D", "-f", "-qq", "-e", "trace=connect", "-o", str(record)]
    with (
        SimulatorProcess() as sim,
        supabase_project.project() as project,
        store_of("redis+cluster", tmp_path) as store,
    ):
        secret = "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tr"
        more = {
            "store": {"url": store},
            "webhooks": {"url": f"http://127.0.0.1:{receiver.server_port}", "secret": secret, "low_credit": 1_000_000},
            **supabase_project.configured(project),
        }
        folder = tmp_path / "gateway"
        folder.mkdir()
        gateway = GatewayProcess(
            folder, {"openai": provider("openai", sim.url)}, [model("m", "openai")], more, prefix=prefix
        )
        [checked] = run_cli("check", config=gateway.config)
        with gateway:
            token = gateway.session()["access_token"]
            body = json.dumps({"model": "m", "messages": [{"role": "user", "content": "hello"}]}).encode()
            chat = request("POST", "/v1/chat/completions", body, headers={"authorization": f"Bearer {token}"})
            # A gateway that is recorded on a busy machine may have no answer of the store in time, and says so.
            until(lambda: ask(gateway.url, chat).status == 200, "an answer")
            until(lambda: sign_in(gateway, supabase_project.token(project)) == 200, "a sign-in")
            assert receiver.got.wait(60)
            listed = stated(gateway)
            assert gateway.stop() == 0
    known = {host for hosts in listed.values() for host in hosts}
    assert {place["host"] for place in checked["egress"]} == known - listed["store: named by it"]
    assert {name: len(hosts) for name, hosts in listed.items()} == {
        "providers.openai": 1,
        "store": 1,
        "store: named by it": 2,
        "supabase": 1,
        "webhooks": 1,
    }

    def connected() -> set[str]:
        return {f"{host}:{port}" for port, host in CONNECTED.findall(record.read_text())}

    until(lambda: connected() >= known, "the record")
    assert connected() == known
