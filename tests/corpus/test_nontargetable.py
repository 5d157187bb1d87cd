"""The same prompt of two users is the same request to the provider, but for one pseudonym and a key of the same form.

A metamorphic test: nobody says what the request must look like, only that who sent it does not show.
Every recorded request is sent by two accounts, each with its own text in every member that identifies
somebody, and what would go out is compared byte by byte.
"""

from __future__ import annotations

import json
from functools import partial

import pytest

from gateway.auth.identity import cache_key
from providers.dialect import Family, Operation, Refusal, Target
from providers.headers import request_headers
from providers.steps import at_once
from providers.wires import WIRES
from tests.corpus.test_requests import STYLES, pytestmark, served  # noqa: F401 - the mark skips without a corpus

ONE, OTHER = "1" * 32, "2" * 32
GENERATING = {Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES}


def signed(body: dict, operation: Operation, user: str) -> dict:
    """The body as an agent of this user would send it: with what identifies people in each dialect."""
    canary = f"canary-of-{user}"
    match operation.family:
        case Family.OPENAI:
            return {
                **body,
                "user": canary,
                "metadata": {"cwd": f"/home/{canary}", "git": canary},
                "client_metadata": {"installation_id": canary},
                "prompt_cache_key": canary,
                "safety_identifier": canary,
            }
        case Family.ANTHROPIC:
            return {**body, "metadata": {"user_id": canary}}
        case _:
            return {**body, "labels": {"user": canary}} if operation in LABELLED else dict(body)


LABELLED = {Operation.GEMINI_GENERATE, Operation.GEMINI_STREAM}


def sent(operation: Operation, body: bytes, path_model: str | None, pid: str, **target: bool) -> bytes:
    wire = WIRES[operation]
    head = at_once(wire.read(body, path_model))
    to = Target(head.model, reasons=True, pseudonym=pid, cache_key=partial(cache_key, b"k" * 32, pid, "p", 1), **target)
    return at_once(wire.splice(body, head, to))


@pytest.mark.parametrize("isolate", [False, True])
def test_bodies_differ_in_the_pseudonym_alone(isolate):
    compared = 0
    for record, operation in served():
        path_model = "m" if operation.family is Family.GOOGLE else None
        requests = []
        for user, pseudonym in (("alice", ONE), ("bob", OTHER)):
            body = signed(record["request_body"], operation, user)
            style = STYLES[list(STYLES)[compared % len(STYLES)]]
            raw = json.dumps(body, **style).encode()
            try:
                out = sent(operation, raw, path_model, pseudonym, isolate=isolate)
            except Refusal:
                break
            assert b"canary-of-" not in out, (record["id"], operation)
            keyed = cache_key(b"k" * 32, pseudonym, "p", 1, f"canary-of-{user}")
            requests.append(out.replace(pseudonym.encode(), b"pseudonym").replace(keyed.encode(), b"keyed"))
        if len(requests) == 2:
            compared += 1
            assert requests[0] == requests[1], record["id"]
    assert compared > 1_000


def test_who_sends_no_identifying_member_is_known_by_nothing_at_all():
    for record, operation in served():
        path_model = "m" if operation.family is Family.GOOGLE else None
        raw = json.dumps(record["request_body"]).encode()
        names = {"user", "metadata", "client_metadata", "prompt_cache_key", "safety_identifier", "labels"}
        if names & record["request_body"].keys():
            continue
        try:
            out = sent(operation, raw, path_model, ONE)
        except Refusal:
            continue
        assert ONE.encode() not in out, record["id"]


def test_with_isolation_every_generating_request_carries_a_key_of_the_account():
    seen = 0
    for record, operation in served():
        if operation not in GENERATING:
            continue
        raw = json.dumps(record["request_body"]).encode()
        try:
            out = sent(operation, raw, None, ONE, isolate=True)
        except Refusal:
            continue
        own = record["request_body"].get("prompt_cache_key")
        key = ONE if own is None else cache_key(b"k" * 32, ONE, "p", 1, own)
        assert json.loads(out)["prompt_cache_key"] == key, record["id"]
        seen += 1
    assert seen > 500


def test_recorded_headers_and_anothers_are_alike():
    for record, operation in served():
        family = operation.family
        recorded = [(name.encode(), str(value).encode()) for name, value in record["request_headers"].items()]
        signed_ = [
            (b"User-Agent", b"canary"),
            (b"X-Stainless-Os", b"canary"),
            (b"x-goog-api-client", b"canary"),
            (b"Accept", b"canary"),
            (b"Content-Type", b"application/json; canary"),
            (b"X-Forwarded-For", b"192.0.2.1"),
            (b"Cookie", b"canary"),
            *reversed(recorded),
        ]
        assert request_headers(family, recorded) == request_headers(family, signed_)
