"""A provider that says that it answered from elsewhere than was promised is found out; the answer still passes."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import MESSAGES, eventually
from tests.integration.test_workers import metric
from tests.raw_http import ask, request

USAGE = {"input_tokens": 3, "output_tokens": 2, "service_tier": "standard"}


class Handler(BaseHTTPRequestHandler):
    """Answers as Anthropic does, from the place that the model's name asks for."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        usage = {**USAGE, "inference_geo": asked["model"]}
        body = json.dumps({"id": "msg_1", "type": "message", "content": [], "stop_reason": "end_turn", "usage": usage})
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def test_an_answer_from_elsewhere_raises_the_alarm(tmp_path, url):
    places = ("eu", "us", "global", "not_available", "atlantis")
    gateway = GatewayProcess(
        tmp_path,
        {"pinned": provider("anthropic", url, region="eu"), "free": provider("anthropic", url, region="global")},
        [model(f"{name}-{place}", name, place) for name in ("pinned", "free") for place in places],
    )
    with gateway:
        token = gateway.session()["access_token"]
        for name in ("pinned", "free"):
            for place in places:
                body = json.dumps({"model": f"{name}-{place}", "max_tokens": 9, "messages": []}).encode()
                answer = ask(gateway.url, request("POST", MESSAGES, body, headers={"x-api-key": token}))
                assert (answer.status, answer.headers["x-provider"]) == (200, name)
        eventually(lambda: metric(gateway, "codegrex_usage_records_total"), lambda count: count == 10)
        assert metric(gateway, 'codegrex_region_astray_total{provider="pinned"}') == 2
        assert metric(gateway, 'codegrex_region_astray_total{provider="free"}') == 0
    alarms = [json.loads(line) for line in gateway.log.read_text().splitlines() if '"region_astray"' in line]
    assert [(alarm["level"], alarm["provider"], alarm["region"]) for alarm in alarms] == [("error", "pinned", "eu")] * 2
