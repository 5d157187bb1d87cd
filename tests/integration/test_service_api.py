"""The billing service beside a gateway that serves: from a grant over a request to its record, and what is told of it."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import ClassVar

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually, prompt
from tests.raw_http import ask, request

TOKEN = "service-token-of-the-test-" + "x" * 16
PATH = "/internal/accounts/user"


class Events(BaseHTTPRequestHandler):
    seen: ClassVar[list] = []

    def do_POST(self):
        self.seen.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(204)
        self.end_headers()

    def log_message(self, *arguments):
        pass


@pytest.fixture
def receiver():
    Events.seen = []
    with ThreadingHTTPServer(("127.0.0.1", 0), Events) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()


def call(gateway, method, path, body=None, **headers):
    data = None if body is None else json.dumps(body).encode()
    sent = {"authorization": f"Bearer {TOKEN}", **{name.replace("_", "-"): value for name, value in headers.items()}}
    asked = urllib.request.Request(gateway.internal + path, data, sent, method=method)
    try:
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return answer.status, json.loads(answer.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@pytest.mark.parametrize("workers", [1, 2])
def test_a_service_grants_reads_books_and_erases(workers, receiver, tmp_path):
    scopes = ["usage:read", "usage:ack", "accounts:read", "accounts:write", "grants:write", "rights:erase"]
    more = {
        "internal": {"port": 0, "tokens": {"billing": {"token": TOKEN, "scopes": scopes}}},
        "webhooks": {"url": receiver, "secret": "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tr", "low_credit": 1_000_000},
    }
    with SimulatorProcess() as simulator:
        gateway = GatewayProcess(
            tmp_path, {"openai": provider("openai", simulator.url)}, [model("openai-plain", "openai", "gpt-4o")], more,
            workers=workers,
        )  # fmt: skip
        with gateway:
            assert call(gateway, "GET", "/internal/openapi.json")[1]["openapi"] == "3.1.0"
            for named, param in (({"tier": "gold"}, "tier"), ({"models": ["openai-plain", "gpt-4o"]}, "models[1]")):
                status, problem = call(gateway, "PUT", PATH, {"version": 1, **named})
                assert (status, problem["param"]) == (400, param)
            assert call(gateway, "PUT", PATH, {"version": 1, "models": ["openai-plain"], "tier": "default"})[0] == 200
            token = gateway.session("user", 1)["access_token"]
            status, account = call(gateway, "POST", f"{PATH}/grants", {"amount": 5_000_000}, Idempotency_Key="i1")
            assert (status, account["granted"]) == (200, 6_000_000)

            path, body = prompt("openai", stream=False)
            answer = ask(gateway.url, request("POST", path, body, headers={"authorization": f"Bearer {token}"}))
            assert answer.status == 200
            rid = answer.headers["x-request-id"]
            page = eventually(lambda: call(gateway, "GET", "/internal/usage")[1], lambda found: found["records"])
            assert [one["rid"] for one in page["records"]] == [rid]
            assert call(gateway, "POST", "/internal/usage/ack", {"after": page["after"]})[0] == 200
            spent = call(gateway, "GET", PATH)[1]["account"]["spent"]
            assert spent == page["records"][0]["charge"] > 0

            status, erasure = call(gateway, "DELETE", PATH)
            assert (status, erasure["deleted"], erasure["waiting"]) == (200, 1, 0)
            eventually(lambda: list(Events.seen), lambda seen: "account.erased" in {one["type"] for one in seen})
        assert {one["data"]["pid"] for one in Events.seen} == {erasure["pid"]}
        low = [one["data"]["left"] for one in Events.seen if one["type"] == "credits.low"]
        assert low in ([], [6_000_000 - spent])
        assert "user" not in {one["data"].get("user") for one in Events.seen}
