"""The id of a refused request leads to a line of the log that says what kind of thing was asked for, and not more."""

from __future__ import annotations

import json

import pytest

from gateway.api.routes import Part
from providers.dialect import Operation
from providers.paths import NotServed, Surface
from tests.raw_http import ask, request

TOKEN = {"authorization": f"Bearer cgx_at_{'x' * 20}_{'x' * 43}"}
CHOSEN = "chosen-by-the-client"
REFUSED = {
    Operation.OPENAI_CHAT: ("POST", "/v1/chat/completions", "token_invalid"),
    Surface.MODELS: ("GET", "/v1/models", "token_invalid"),
    Surface.MODEL: ("GET", f"/v1/models/{CHOSEN}", "token_invalid"),
    Surface.WEBSOCKET: ("GET", "/v1/responses", "upgrade_required"),
    NotServed.UNKNOWN: ("GET", f"/{CHOSEN}", "not_found"),
    NotServed.OTHER_METHOD: ("DELETE", "/v1/chat/completions", "method_not_allowed"),
    NotServed.REFUSED: ("POST", f"/v1/files/{CHOSEN}", "privacy_unsupported"),
    NotServed.UNREADABLE: ("GET", "/v1/%ff", "invalid_request"),
    Part.LANDING: ("POST", "/", "method_not_allowed"),
    Part.STATEMENT: ("POST", "/.well-known/ai-privacy", "method_not_allowed"),
    Part.ACCOUNT: ("GET", "/v1/account", "token_invalid"),
    Part.USAGE_RECORD: ("GET", f"/v1/requests/{CHOSEN}", "token_invalid"),
}


def line(running, answer):
    lines = [json.loads(line) for line in running.gateway.log.read_text().splitlines()]
    [found] = [line for line in lines if line.get("rid") == answer.rid]
    assert CHOSEN not in json.dumps(found)
    return found


@pytest.mark.parametrize("kind", REFUSED, ids=lambda kind: kind.name)
def test_a_line_names_the_method_and_the_kind_of_the_path(running, kind):
    method, path, code = REFUSED[kind]
    answer = ask(running.url, request(method, path, headers=TOKEN))
    found = line(running, answer)
    assert (found["event"], found["status"], found["code"]) == ("refused", answer.status, code)
    assert found["method"] == method
    assert found["operation" if isinstance(kind, Operation) else "surface"] == kind


def test_a_method_that_http_does_not_define_is_not_named(running):
    found = line(running, ask(running.url, request("PURGE", f"/{CHOSEN}", headers=TOKEN)))
    assert "method" not in found
    assert found["surface"] == NotServed.UNKNOWN


def test_what_is_not_http_is_no_page(running):
    found = line(running, ask(running.url, b"GET / HTTP/1.1\r\nHost: x\r\nbad header\r\n\r\n"))
    assert "method" not in found
    assert (found["code"], found["surface"]) == ("invalid_request", NotServed.UNREADABLE)
