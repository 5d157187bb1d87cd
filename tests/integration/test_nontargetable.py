"""What the provider really receives of two users with the same prompt: headers and body, in order and byte by byte."""

import json

import pytest

from tests.integration.conftest import prompt
from tests.raw_http import ask, request

FLAGS = {
    "openai": {"OpenAI-Beta": "responses=experimental"},
    "anthropic": {"anthropic-version": "2023-06-01", "anthropic-beta": "context-1m-2025-08-07"},
    "google": {},
}
MEMBERS = {
    "openai": {
        "user": "{0}",
        "metadata": {"cwd": "/home/{0}", "git": "{0}"},
        "client_metadata": {"installation": "{0}"},
        "prompt_cache_key": "{0}",
        "safety_identifier": "{0}",
    },
    "anthropic": {"metadata": {"user_id": "{0}"}},
    "google": {"labels": {"user": "{0}"}},
}
# Each a different machine, tool and person, as far as a request shows it.
TRACES = (
    "User-Agent",
    "Accept",
    "Accept-Language",
    "X-Stainless-Os",
    "X-Stainless-Package-Version",
    "x-goog-api-client",
    "x-codex-installation-id",
    "session_id",
    "X-Forwarded-For",
    "Forwarded",
    "Cookie",
    "Referer",
    "traceparent",
    "baggage",
    "Idempotency-Key",
    "openai-organization",
    "anthropic-user-profile-id",
    "x-client-request-id",
)


def filled(value, user):
    if isinstance(value, dict):
        return {name: filled(item, user) for name, item in value.items()}
    return value.format(user)


def received(running, kind, user, token, *, turned):
    """The one request that the provider got: its line, headers in order, and body."""
    running.sim.reset()
    path, body = prompt(kind, "plain", "the same words")
    body = json.dumps({**json.loads(body), **filled(MEMBERS[kind], f"canary-{user}")}).encode()
    headers = {name: f"canary-{user}" for name in TRACES if turned or name != "Accept-Language"}
    headers |= FLAGS[kind] | {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    if turned:
        headers = {name.lower(): value for name, value in reversed(headers.items())}
    answer = ask(
        running.url, request("POST", path + ("&" if "?" in path else "?") + f"u=canary-{user}", body, headers=headers)
    )
    assert answer.status == 200
    [got] = running.sim.requests()
    return got


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_two_users_are_one_to_the_provider(running, kind):
    other = running.gateway.session("somebody else", 100_000)["access_token"]
    one = received(running, kind, "alice", running.token, turned=False)
    two = received(running, kind, "bob", other, turned=True)
    assert "canary" not in repr((one, two))
    pseudonyms = set()
    for got in (one, two):
        body = json.loads(got["body"])
        name = {"openai": body.get("prompt_cache_key"), "anthropic": body.get("metadata", {}).get("user_id")}.get(kind)
        if name is not None:
            pseudonyms.add(name)
            got["body"] = got["body"].replace(name, "pseudonym")
    assert one == two
    assert len(pseudonyms) == (0 if kind == "google" else 2)
