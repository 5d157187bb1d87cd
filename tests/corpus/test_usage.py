"""The counts of every recorded answer, the end of every recorded stream, the chunk that is hidden.

What is expected is worked out here from the recording's own ``usage`` member with plain JSON, by the
table of the design, independently of how `providers` finds and reads it.
"""

from __future__ import annotations

import gzip
import json
import os
import random
import re
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS
from providers.dialect import Head, Operation, Scanner
from providers.wires import WIRES

CORPUS = Path(os.environ.get("CORPUS_DIR", Path(__file__).parents[3] / "shared" / "corpus")) / "recordings.jsonl.gz"
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"NO CORPUS: {CORPUS} does not exist, set CORPUS_DIR")

OPERATIONS = {
    ("openai", "chat"): Operation.OPENAI_CHAT,
    ("openai", "responses"): Operation.OPENAI_RESPONSES,
    ("openai", "completions"): Operation.OPENAI_COMPLETIONS,
    ("openai", "embeddings"): Operation.OPENAI_EMBEDDINGS,
    ("openai", "count_tokens"): Operation.OPENAI_INPUT_TOKENS,
    ("anthropic", "messages"): Operation.ANTHROPIC_MESSAGES,
    ("anthropic", "count_tokens"): Operation.ANTHROPIC_COUNT_TOKENS,
    ("google", "generateContent"): Operation.GEMINI_GENERATE,
    ("google", "streamGenerateContent"): Operation.GEMINI_STREAM,
    ("google", "embeddings"): Operation.GEMINI_EMBED,
    ("google", "count_tokens"): Operation.GEMINI_COUNT_TOKENS,
}
APIS = sorted(OPERATIONS)
HEAD = Head(model="m", stream=True)
UNASKED = Head(model="m", stream=True, wants_usage=False)
SMALL = 20_000  # bytes: what is fed byte by byte


@cache
def answers(provider: str, api: str) -> list[dict]:
    found = []
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        for line in lines:
            # Decoding all of them would be most of the time that this takes.
            if f'"provider":"{provider}"' in line and f'"api":"{api}"' in line:
                record = json.loads(line)
                if (record["provider"], record["api"]) == (provider, api) and 200 <= record["status"] < 300:
                    found.append(record)
    found = [record for record in found if record["response_body"]]
    assert found, "the recordings are written in another way than this test expects"
    return found


def number(value: Any, default: int = 0) -> int:
    return value if type(value) is int and value >= 0 else default


def table(record: dict) -> dict[str, int]:
    """Design 4.2: what the recorded usage means, zero where it says nothing."""
    usage, api = record["usage"], record["api"]
    if record["provider"] == "anthropic":
        return anthropic_table(usage)
    if record["provider"] == "google":
        return google_table(usage)
    responses = api in {"responses", "count_tokens"}
    into = usage.get("input_tokens_details" if responses else "prompt_tokens_details") or {}
    out = usage.get("output_tokens_details" if responses else "completion_tokens_details") or {}
    prompt = number(usage.get("input_tokens" if responses else "prompt_tokens"))
    output = number(usage.get("output_tokens" if responses else "completion_tokens"))
    # Two hosts report reasoning beside the output; the total gives them away.
    output = max(output, number(usage.get("total_tokens")) - prompt)
    hosts = [usage.get(name) for name in ("prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens")]
    stated = [into.get("cached_tokens"), *hosts]
    cached = min(prompt, next((value for value in stated if type(value) is int), 0))
    written = min(prompt - cached, number(into.get("cache_write_tokens")))
    audio = min(prompt - cached - written, number(into.get("audio_tokens")))
    image = min(prompt - cached - written - audio, number(into.get("image_tokens")))
    beside = output - number(usage.get("output_tokens" if responses else "completion_tokens"))
    reasoning = min(output, number(out.get("reasoning_tokens")) or beside)
    return {
        "in_uncached": prompt - cached - written - audio - image,
        "cache_read": cached,
        "cache_write_other": written,
        "audio_in": audio,
        "image_in": image,
        "out_visible": output - reasoning - number(out.get("audio_tokens")) - number(out.get("image_tokens")),
        "out_reasoning": reasoning,
        "audio_out": number(out.get("audio_tokens")),
        "image_out": number(out.get("image_tokens")),
    }


def anthropic_table(usage: dict) -> dict[str, int]:
    parts = [
        usage,
        *(part for part in usage.get("iterations") or () if part["type"] in {"compaction", "advisor_message"}),
    ]
    found = dict.fromkeys(
        ("in_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "out_visible", "out_reasoning"), 0
    )
    for part in parts:
        hour = number((part.get("cache_creation") or {}).get("ephemeral_1h_input_tokens"))
        thinking = number((part.get("output_tokens_details") or {}).get("thinking_tokens"))
        found["in_uncached"] += number(part.get("input_tokens"))
        found["cache_read"] += number(part.get("cache_read_input_tokens"))
        found["cache_write_1h"] += hour
        found["cache_write_5m"] += number(part.get("cache_creation_input_tokens")) - hour
        found["out_reasoning"] += thinking
        found["out_visible"] += number(part.get("output_tokens")) - thinking
    calls = usage.get("server_tool_use") or {}
    return found | {
        "searches": number(calls.get("web_search_requests")),
        "fetches": number(calls.get("web_fetch_requests")),
    }


def google_table(usage: dict) -> dict[str, int]:
    def of(name: str, modality: str, as_number: int) -> int:
        return sum(
            number(part.get("tokenCount"))
            for part in usage.get(name) or ()
            if part.get("modality") in {modality, as_number}
        )

    prompt = number(usage.get("promptTokenCount"), number(usage.get("totalTokens")))
    cached = number(usage.get("cachedContentTokenCount"))
    output = number(usage.get("candidatesTokenCount"))
    audio, image = of("promptTokensDetails", "AUDIO", 4), of("promptTokensDetails", "IMAGE", 2)
    audio -= min(audio, of("cacheTokensDetails", "AUDIO", 4))
    image -= min(image, of("cacheTokensDetails", "IMAGE", 2))
    audio_out, image_out = of("candidatesTokensDetails", "AUDIO", 4), of("candidatesTokensDetails", "IMAGE", 2)
    return {
        "in_uncached": prompt - cached - audio - image,
        "cache_read": cached,
        "audio_in": audio,
        "image_in": image,
        "tool_in": number(usage.get("toolUsePromptTokenCount")),
        "out_visible": output - audio_out - image_out,
        "out_reasoning": number(usage.get("thoughtsTokenCount")),
        "audio_out": audio_out,
        "image_out": image_out,
    }


def scanned(record: dict, pieces: list[bytes], head: Head = HEAD) -> tuple[Scanner, bytes]:
    scanner = WIRES[OPERATIONS[record["provider"], record["api"]]].scanner(head, sse=record["sse"])
    out = [scanner.feed(piece) for piece in pieces]
    if head is HEAD:
        assert all(before is after for before, after in zip(pieces, out, strict=True)), record["id"]
    return scanner, b"".join([*out, scanner.finish()])


def cuts(record: dict) -> Iterator[list[bytes]]:
    """The body whole, in many pieces, in few, and, of small bodies of the core, byte by byte."""
    body = record["response_body"].encode()
    yield [body]
    draw = random.Random(record["id"])
    for share in (40, 2000):
        edges = sorted({0, len(body), *(draw.randrange(len(body)) for _ in range(1 + len(body) // share))})
        yield [body[start:end] for start, end in pairwise(edges)]
    if record["core"] and len(body) <= SMALL:
        yield [body[index : index + 1] for index in range(len(body))]


# Search and code calls are stated outside of the usage member; their own tests know them.
TOKENS = [*INPUT_COUNTS, *OUTPUT_COUNTS]


@pytest.mark.parametrize(("provider", "api"), APIS)
def test_counts_are_the_recorded_ones_however_it_is_cut(provider, api):
    seen = 0
    for record in answers(provider, api):
        if not record["usage_usable"]:
            continue
        seen += 1
        expected = table(record)
        for pieces in cuts(record):
            report = scanned(record, pieces)[0].report()
            assert report.usage is not None, record["id"]
            for name in TOKENS if provider != "anthropic" else [*TOKENS, "searches", "fetches"]:
                found = [getattr(usage, name) or 0 for usage in (report.usage, *(usage for _, usage in report.others))]
                assert (record["id"], name, sum(found)) == (record["id"], name, expected.get(name, 0))
                assert min(found) >= 0
    assert seen


@pytest.mark.parametrize(("provider", "api"), APIS)
def test_no_counts_are_invented(provider, api):
    for record in answers(provider, api):
        if record["usage_usable"] or record["provenance"] == "vendor_fixture_hand_made_suspect":
            continue
        if record["id"] in LINES or '"x_groq":{"usage":' in record["response_body"]:
            continue  # the recordings' own reader does not look there
        usage = scanned(record, [record["response_body"].encode()])[0].report().usage
        assert usage is None or not (usage.input_tokens or usage.output_tokens), record["id"]


def test_models_that_the_top_level_leaves_out():
    found = {}
    for record in answers("anthropic", "messages"):
        if "iterations" in (record["usage"] or {}):
            others = scanned(record, [record["response_body"].encode()])[0].report().others
            advisors = [part["model"] for part in record["usage"]["iterations"] if part["type"] == "advisor_message"]
            fallbacks = [part["model"] for part in record["usage"]["iterations"] if part["type"] == "fallback_message"]
            assert [model for model, _ in others] == fallbacks + advisors, record["id"]
            found[record["id"]] = len(others)
    assert sum(found.values()) >= 4


# Streams that were put together by hand and end without any end, or as JSON that was never a stream.
ENDLESS = {"5a6aa9d9dbc14e00", "8f3e77065876f1b7", "9b9cdaf4102e474f", "b8d2b9cfad784b73"}
# Lines of data without blank lines between them: a chunk each, which the recordings' own reader took for one event.
LINES = {"e565f855792921b2": 4}
# Errors inside a good status: a chat answer cut by its host, a failed response, a filtered prompt.
FAILED = {"1a42f6fcf4b3c1e3", "478b7d519eed8002", "5a6aa9d9dbc14e00", "6ff5f37ce09ae3da"}
# Of both, those without output.
UNBEGUN = {*ENDLESS, "478b7d519eed8002", "6ff5f37ce09ae3da"} - {"5a6aa9d9dbc14e00"}


@pytest.mark.parametrize(("provider", "api"), APIS)
def test_every_answer_is_complete_at_its_end_and_not_before(provider, api):
    for record in answers(provider, api):
        if record["url_path"].endswith(":predict") or '"status": "queued"' in record["response_body"]:
            continue  # Vertex's own embeddings and background responses, which are not served
        body = record["response_body"].encode()
        scanner, _ = scanned(record, [body])
        assert scanner.ended == (record["id"] not in ENDLESS | FAILED), record["id"]
        assert scanner.begun == (record["id"] not in UNBEGUN), record["id"]
        assert (scanner.error is not None) == (record["id"] in FAILED), record["id"]
        if not record["sse"]:
            assert not scanned(record, [body.rstrip()[:-1]])[0].ended, record["id"]
            continue
        assert scanner.at_boundary, record["id"]
        if record["provenance"] != "vendor_fixture_hand_made_suspect":
            half = body[: len(body) // 2]
            reason = re.search(rb'"finish_reason": ?"', half)  # short streams give it in their first half
            assert reason or not scanned(record, [half])[0].ended, record["id"]
        events = LINES.get(record["id"], record["n_events"])
        assert record["id"] in ENDLESS or scanner.events == events, record["id"]


@pytest.mark.parametrize("api", ["chat", "completions"])
def test_exactly_the_usage_chunk_is_hidden(api):
    hidden = 0
    for record in answers("openai", api):
        if not record["sse"]:
            continue
        body = record["response_body"]
        events = re.split(r"(?<=\n\n)|(?<=\r\n\r\n)", body)
        shown = [event for event in events if not is_usage_chunk(event)]
        assert len(events) - len(shown) <= 1, record["id"]
        hidden += len(events) - len(shown)
        expected = "".join(shown).encode()
        counts = scanned(record, [body.encode()])[0].report()
        for pieces in cuts(record):
            scanner, out = scanned(record, pieces, UNASKED)
            assert out == expected, record["id"]
            assert scanner.report() == counts, record["id"]
    assert hidden > 100 or api == "completions"


def is_usage_chunk(event: str) -> bool:
    data = "".join(line.removeprefix("data:") for line in event.splitlines() if line.startswith("data:"))
    try:
        chunk = json.loads(data)
    except ValueError:
        return False
    return chunk.get("choices") == [] and isinstance(chunk.get("usage"), dict)
