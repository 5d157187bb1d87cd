"""Recorded token counts and embeddings through every other API that has them: the same request, the same numbers."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from providers.conversation.counting import COUNTING, prepare_count, translate_count
from providers.conversation.dialects import Capabilities, read_request
from providers.conversation.embeddings import EMBEDDERS, EMBEDDING, prepare_embeddings, translate_embeddings
from providers.conversation.fitting import fit
from providers.dialect import Family, Head, Operation, Refusal
from providers.wires import WIRES
from tests.corpus.recordings import CORPUS, NO_CORPUS, Recording, served
from tests.corpus.test_translation import plain

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=NO_CORPUS)


def tokens_of(recording: Recording) -> int | None:
    """As the ledger reads them."""
    scanner = WIRES[recording.operation].scanner(Head("m"), sse=False)
    scanner.feed(recording.body)
    scanner.finish()
    usage = scanner.report().usage
    return None if usage is None else usage.input_tokens


def test_recorded_counts():
    seen: Counter[str] = Counter()
    for recording in served():
        source, ask = COUNTING.get(recording.operation), recording.record["request_body"]
        if source is None or not recording.good or not isinstance(ask, dict):
            continue
        for target in COUNTING.values():
            answer = translate_count(target, source, recording.body)
            assert answer is not None
            assert translate_count(source, target, answer) == translate_count(source, source, recording.body)
            assert str(tokens_of(recording)).encode() in answer
            seen["answers"] += 1
            try:
                made = prepare_count(
                    source, target, json.dumps(ask).encode(), members=ask, model="m", capabilities=Capabilities(9_999)
                )
            except Refusal as refusal:
                assert refusal.code == "unsupported_feature"  # noqa: PT017 - tools that run at the provider
                seen["refused"] += 1
                continue
            body = json.loads(made.body)
            read = read_request(target, json.dumps(body.get("generateContentRequest", body)).encode())
            expected, _ = fit(made.conversation, target, output_limit=9_999)
            assert plain(replace(read, sampling=expected.sampling)) == plain(expected), (recording.id, target)
            seen["requests"] += 1
    assert seen["answers"] >= 45
    assert seen["requests"] >= 35
    assert seen["refused"] <= 9


def vectors(operation: Operation, body: Any) -> list[list[float]]:
    if operation is Operation.OPENAI_EMBEDDINGS:
        return [datum["embedding"] for datum in body["data"]]
    return [found["values"] for found in (body.get("embeddings") or [body["embedding"]])]


def test_recorded_embeddings():
    """What the caller would have got from its own API, it gets through the other one."""
    seen: Counter[str] = Counter()
    for recording in served():
        source, ask = recording.operation, recording.record["request_body"]
        if source not in EMBEDDING or not recording.good or not isinstance(ask, dict):
            continue
        other = EMBEDDERS[Family.GOOGLE if source is Operation.OPENAI_EMBEDDINGS else Family.OPENAI]
        try:
            there = prepare_embeddings(source, other, json.dumps(ask).encode(), members=ask, model="m")
        except Refusal as refusal:
            assert refusal.code == "unsupported_feature"  # noqa: PT017 - tokens, pictures
            seen["refused"] += 1
            continue
        home = EMBEDDERS[source.family]
        back = prepare_embeddings(other, home, there.body, members=(), model="m")
        seen["requests"] += 1
        recorded = vectors(source, json.loads(recording.body))
        if len(recorded) != back.texts or isinstance(recorded[0], str):  # it was cut for the recording; it is base64
            continue
        # The recorded answer as the other API would say it, and from there back to the caller.
        asked = {"texts": back.texts, "model": "m", "estimate": 0}
        told = translate_embeddings(other, home, recording.body, base64=False, **asked)
        assert told is not None, recording.id
        again = translate_embeddings(source, other, told, base64=there.base64, **asked)
        assert again is not None, recording.id
        assert vectors(source, json.loads(again)) == recorded or there.base64, recording.id
        stated = tokens_of(recording)
        assert stated is None or str(stated).encode() in again, recording.id
        seen["answers"] += 1
    assert seen["requests"] >= 90, seen
    assert seen["answers"] >= 60, seen
