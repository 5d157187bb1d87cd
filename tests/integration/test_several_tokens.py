"""A request with several tokens: a leftover of another service, or an older one of the gateway's, costs nobody a 401."""

from __future__ import annotations

import pytest

from tests.integration.conftest import Running, eventually, prompt
from tests.raw_http import ask, request

OTHERS = "sk-ant-oat01-stale"
UNKNOWN = f"cgx_at_{'x' * 20}_{'x' * 43}"


def asked(running: Running, kind: str, **headers: str) -> tuple[int, str]:
    path, body = prompt(kind)
    names = {name.replace("_", "-"): value for name, value in headers.items()}
    answer = ask(running.url, request("POST", path, body, headers=names))
    assert OTHERS.encode() not in answer.body
    return answer.status, answer.code


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
@pytest.mark.parametrize("stale", [OTHERS, UNKNOWN])
def test_the_token_that_is_valid_counts_wherever_it_stands(running, kind, stale):
    good = running.token
    for headers in (
        {"authorization": f"Bearer {stale}", "x_api_key": good},
        {"authorization": f"Bearer {stale}", "x_goog_api_key": good},
        {"authorization": f"Bearer {good}", "x_api_key": stale},
        {"x_api_key": stale, "x_goog_api_key": good},
        {"authorization": "Basic dTpw", "x_api_key": good},
    ):
        assert asked(running, kind, **headers) == (200, "")


def test_of_two_valid_tokens_the_bearer_pays(running):
    other = running.gateway.session("a second person", 100)
    before = running.quiet()
    status, _ = asked(running, "openai", x_api_key=running.token, authorization=f"Bearer {other['access_token']}")
    assert status == 200
    eventually(lambda: running.gateway.account("a second person"), lambda account: account["spent"] > 0)
    assert running.quiet() == before


def test_if_none_is_valid_the_first_is_told(running):
    assert asked(running, "openai", authorization=f"Bearer {OTHERS}", x_api_key=UNKNOWN) == (401, "token_invalid")
