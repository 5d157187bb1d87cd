"""What a request of the Messages API names beside its model, at a provider that shows what arrived."""

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import MESSAGES
from tests.raw_http import ask, request

PRICE = {"input": 1, "output": 4, "variants": {"standard.us": 1.1}}


ARRIVED = []


class Handler(BaseHTTPRequestHandler):
    """Answers as the fallback that a request names, else as its model, and keeps what it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        ARRIVED.append(asked)
        named = [asked["model"], *(one["model"] for one in asked.get("fallbacks", []))][-1]
        usage = {"input_tokens": 1_000_000, "output_tokens": 0, "inference_geo": asked.get("inference_geo", "global")}
        answer = {"id": "msg_1", "type": "message", "role": "assistant", "model": named, "usage": usage}
        body = json.dumps({**answer, "content": [{"type": "text", "text": "hi"}], "stop_reason": "end_turn"}).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_address[1]}"
        models = [
            {**model("haiku", "one", "claude-haiku-5"), "price": PRICE},
            {**model("opus", "one", "claude-opus-5"), "price": {"input": 5, "output": 20}},
        ]
        folder = tmp_path_factory.mktemp("gateway")
        with GatewayProcess(folder, {"one": provider("anthropic", url, region="us")}, models) as process:
            yield process
        server.shutdown()


def asked(gateway, members, **headers):
    token = gateway.session()["access_token"]
    body = json.dumps({"model": "haiku", "max_tokens": 9, "messages": [], **members}).encode()
    answer = ask(gateway.url, request("POST", MESSAGES, body, headers={"x-api-key": token, **headers}))
    return answer, ARRIVED[-1] if answer.status == 200 else None


def test_a_pinned_request_asks_for_its_region_and_may_not_ask_for_another(gateway):
    answer, arrived = asked(gateway, {}, **{"x-processing-region": "us"})
    assert (answer.status, arrived["inference_geo"]) == (200, "us")
    assert answer.headers["x-credits-charged"] == "110000000"
    for elsewhere in ("global", "eu", "GLOBAL"):
        answer, _ = asked(gateway, {"inference_geo": elsewhere}, **{"x-processing-region": "us"})
        assert answer.status == 403
    answer, arrived = asked(gateway, {})
    assert "inference_geo" not in arrived


def test_a_fallback_that_answers_is_what_is_charged_and_recorded(gateway):
    answer, arrived = asked(gateway, {"fallbacks": [{"model": "opus"}]})
    assert arrived["fallbacks"] == [{"model": "claude-opus-5"}]
    assert answer.headers["x-credits-charged"] == "500000000"
    answer, _ = asked(gateway, {})
    assert answer.headers["x-credits-charged"] == "100000000"
    records = gateway.usage()
    assert [record["model"] for record in records[-2:]] == ["opus", "haiku"]


def test_members_that_were_left_out_are_told(gateway):
    answer, arrived = asked(gateway, {"user_profile_id": "u", "brand_new": "x", "metadata": {"user_id": "bob", "n": 1}})
    assert answer.headers["x-members-removed"] == "user_profile_id, 2 unknown"
    assert arrived.keys() == {"model", "max_tokens", "messages", "metadata"}
    assert arrived["metadata"]["user_id"] != "bob"


def test_a_tool_that_is_switched_off_is_left_out_and_told(gateway):
    offered = [{"type": "web_fetch_20250910", "name": "web_fetch"}, {"name": "read", "input_schema": {}}]
    answer, arrived = asked(gateway, {"tools": offered})
    assert answer.headers["x-tools-removed"] == "anthropic_web_fetch"
    assert arrived["tools"] == offered[1:]
    answer, _ = asked(gateway, {"tools": offered, "tool_choice": {"type": "tool", "name": "web_fetch"}})
    assert (answer.status, answer.code) == (400, "privacy_unsupported")
