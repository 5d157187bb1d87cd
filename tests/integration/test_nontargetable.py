"""What the provider really receives of two users with the same prompt: headers and body, in order and byte by byte."""

import json

import pytest

from gateway.auth.identity import ROTATION_DAYS
from gateway.auth.principal import session_key, sid_of
from metering.clock import DAY_MS, now_ms
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


def received(running, kind, user, token, *, turned, text="the same words"):
    """The one request that the provider got: its line, headers in order, and body."""
    running.sim.reset()
    path, body = prompt(kind, "plain", text)
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
        told = (body.get("prompt_cache_key"), body.get("safety_identifier"), body.get("metadata", {}).get("user_id"))
        for name in filter(None, told):
            pseudonyms.add(name)
            got["body"] = got["body"].replace(name, "pseudonym")
    assert one == two
    assert len(pseudonyms) == {"openai": 4, "anthropic": 2, "google": 0}[kind]


def key_of(running, token, key):
    """What the provider got for a client's own key of the prompt cache."""
    running.sim.reset()
    path, body = prompt("openai", "plain", "the same words")
    body = json.dumps({**json.loads(body), "prompt_cache_key": key}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    assert ask(running.url, request("POST", path, body, headers=headers)).status == 200
    [got] = running.sim.requests()
    return json.loads(got["body"])["prompt_cache_key"]


def test_conversations_of_one_account_are_apart_in_the_cache(running):
    other = running.gateway.session("a third one", 100_000)["access_token"]
    one, two = key_of(running, running.token, "canary-one"), key_of(running, running.token, "canary-two")
    assert one == key_of(running, running.token, "canary-one")
    assert len({one, two, key_of(running, other, "canary-one"), key_of(running, other, "canary-two")}) == 4
    assert "canary" not in one + two


def signed_in(running, days):
    """A token of one account whose sign-in began that many days ago."""
    token = running.gateway.session("of many devices", 100_000)["access_token"]
    began = now_ms() - days * DAY_MS
    running.gateway.on_store(lambda store: store.client.hset(session_key(sid_of(token) or ""), "created", began))
    return token


def user_of(running, token):
    """Who the provider is told that this is."""
    got = received(running, "anthropic", "alice", token, turned=False)
    return json.loads(got["body"])["metadata"]["user_id"]


def test_a_sign_in_keeps_its_pseudonym_and_a_later_one_has_another(running):
    now, before, before_too = (signed_in(running, days) for days in (0, ROTATION_DAYS, ROTATION_DAYS))
    assert user_of(running, before) == user_of(running, before_too) != user_of(running, now)
    assert key_of(running, before, "thread") == key_of(running, before_too, "thread") != key_of(running, now, "thread")


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_what_may_differ_is_seen(running, kind):
    one = received(running, kind, "alice", running.token, turned=False, text="the same words")
    two = received(running, kind, "alice", running.token, turned=False, text="the same word!")
    assert one != two
    assert {**one, "body": ""} == {**two, "body": ""}
