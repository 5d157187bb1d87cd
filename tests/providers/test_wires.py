from __future__ import annotations

import ast
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from metering.usage import Usage
from providers.answers.body import JsonBody
from providers.anthropic.answer import MessageStream
from providers.dialect import Family, Head, Operation, Refusal, Scanner, Target
from providers.gemini.answer import GenerateArray, GenerateStream
from providers.members import register
from providers.openai.answer import ChatStream, ResponsesStream
from providers.steps import at_once
from providers.wires import WIRES

# The names of operations are a contract with records and dashboards: they say "gemini" where configuration says "google".
FAMILIES = {"openai": Family.OPENAI, "anthropic": Family.ANTHROPIC, "gemini": Family.GOOGLE}


def test_every_operation_has_its_wire():
    assert set(WIRES) == set(Operation)
    for operation, wire in WIRES.items():
        assert wire.operation is operation
        assert operation.family is FAMILIES[operation.value.partition(".")[0]]
        assert wire.path("m").startswith("/v1")


def test_only_counting_tokens_is_free():
    free = {operation for operation, wire in WIRES.items() if not wire.billed}

    assert free == {Operation.OPENAI_INPUT_TOKENS, Operation.ANTHROPIC_COUNT_TOKENS, Operation.GEMINI_COUNT_TOKENS}


@pytest.mark.parametrize("operation", Operation)
@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"{} {}", b'{"model":"m","model":"m"}', b'{"model":"\xff"}'])
def test_malformed_bodies_are_refused_everywhere(operation, body):
    with pytest.raises(Refusal) as refused:
        at_once(WIRES[operation].read(body, "m" if operation.family is Family.GOOGLE else None))

    assert refused.value.code == "invalid_request"


@pytest.mark.parametrize("operation", Operation)
def test_what_goes_to_the_provider_is_read_again_alike(operation):
    wire = WIRES[operation]
    path_model = "m" if wire.operation.family is Family.GOOGLE else None
    body = json.dumps({"model": "m", "stream": True, "user": "bob", "store": True, "labels": {}}).encode()
    head = at_once(wire.read(body, path_model))
    sent = at_once(wire.splice(body, head, Target("m", pseudonym="p")))
    again = at_once(wire.read(sent, path_model))

    assert (again.model, again.stream, again.output_limit) == (head.model, head.stream, head.output_limit)
    assert at_once(wire.splice(sent, again, Target("m", pseudonym="p"))) is sent


STREAMED = Head(model="m", stream=True)


@pytest.mark.parametrize(
    ("operation", "kind"),
    [
        (Operation.OPENAI_CHAT, ChatStream),
        (Operation.OPENAI_COMPLETIONS, ChatStream),
        (Operation.OPENAI_RESPONSES, ResponsesStream),
        (Operation.OPENAI_COMPACT, ResponsesStream),
        (Operation.ANTHROPIC_MESSAGES, MessageStream),
        (Operation.GEMINI_STREAM, GenerateStream),
    ],
)
def test_streams(operation, kind):
    assert type(WIRES[operation].scanner(STREAMED, sse=True)) is kind


def test_a_stream_of_google_without_events_is_an_array():
    assert type(WIRES[Operation.GEMINI_STREAM].scanner(STREAMED, sse=False)) is GenerateArray


@pytest.mark.parametrize(
    ("operation", "body", "usage"),
    [
        (Operation.OPENAI_CHAT, b'{"usage":{"prompt_tokens":7}}', Usage(in_uncached=7)),
        (Operation.OPENAI_COMPLETIONS, b'{"usage":{"prompt_tokens":7}}', Usage(in_uncached=7)),
        (
            Operation.OPENAI_EMBEDDINGS,
            b'{"usage":{"prompt_tokens":7,"total_tokens":7}}',
            Usage(in_uncached=7, out_visible=0),
        ),
        (Operation.OPENAI_RESPONSES, b'{"usage":{"input_tokens":7}}', Usage(in_uncached=7)),
        (Operation.OPENAI_COMPACT, b'{"usage":{"input_tokens":7}}', Usage(in_uncached=7)),
        (Operation.OPENAI_INPUT_TOKENS, b'{"input_tokens":7}', Usage(in_uncached=7)),
        (Operation.ANTHROPIC_MESSAGES, b'{"usage":{"input_tokens":7}}', Usage(in_uncached=7)),
        (Operation.ANTHROPIC_COUNT_TOKENS, b'{"input_tokens":7}', Usage(in_uncached=7)),
        (Operation.GEMINI_GENERATE, b'{"usageMetadata":{"promptTokenCount":7}}', Usage(in_uncached=7)),
        (
            Operation.GEMINI_EMBED,
            b'{"usageMetadata":{"promptTokenCount":7}}',
            Usage(in_uncached=7, out_visible=0),
        ),
        (
            Operation.GEMINI_BATCH_EMBED,
            b'{"usageMetadata":{"promptTokenCount":7}}',
            Usage(in_uncached=7, out_visible=0),
        ),
        (Operation.GEMINI_COUNT_TOKENS, b'{"totalTokens":7}', Usage(in_uncached=7)),
    ],
)
def test_bodies(operation, body, usage):
    scanner = WIRES[operation].scanner(STREAMED, sse=False)
    assert type(scanner) is JsonBody
    scanner.feed(body)
    assert scanner.report().usage == usage


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("sse", [True, False])
def test_every_operation_has_a_scanner_that_starts_empty(operation, sse):
    scanner: Scanner = WIRES[operation].scanner(STREAMED, sse=sse)
    assert not scanner.ended
    assert scanner.error is None
    assert scanner.at_boundary
    assert scanner.report().usage is None
    assert scanner.finish() == b""
    assert (scanner.size, scanner.events) == (0, 0)


NAMES = st.sampled_from(
    (
        "model", "stream", "store", "stream_options", "include_usage", "include", "metadata", "user_id", "user",
        "messages", "content", "role", "type", "source", "file", "file_id", "input", "output", "id", "tools", "tool",
        "definition", "container", "contents", "parts", "fileData", "file_uri", "generationConfig", "labels",
        "maxOutputTokens", "requests", "generateContentRequest", "functionResponse", "system", "prompt", "n",
        "max_tokens", "service_tier", "prompt_cache_key", "thread", "web_search_options",
    )
)  # fmt: skip
WORDS = st.sampled_from(("file", "item_reference", "web_search", "mcp", "function", "files/x", "flex", "")) | st.text(
    max_size=3
)
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | WORDS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=5),
    max_leaves=25,
)
TARGETS = st.builds(
    Target,
    model=st.just("real"),
    alias=st.booleans(),
    store=st.booleans(),
    include_usage=st.booleans(),
    reasons=st.booleans(),
    pseudonym=st.sampled_from(("", "p")),
    strip_unknown=st.booleans(),
)


@given(operation=st.sampled_from(Operation), members=st.dictionaries(NAMES, ANYTHING), target=TARGETS)
@settings(max_examples=500)
def test_any_body_is_refused_or_becomes_a_body(operation, members, target):
    wire = WIRES[operation]
    body = json.dumps({"model": "alias"} | members).encode()
    try:
        head = at_once(wire.read(body, "alias" if wire.operation.family is Family.GOOGLE else None))
    except Refusal:
        return
    sent = json.loads(at_once(wire.splice(body, head, target)))

    left = sent.keys() - members.keys() - {"model"}
    assert left <= {"store", "stream_options", "include"}
    gone = members.keys() - sent.keys()
    unknown = {path[0] for path in head.found.unknown if len(path) == 1}
    removed = {
        path[0] for path in register.removed(head.found, extended_cache=False, strip_unknown=target.strip_unknown)
    }
    assert gone <= {"store", "prompt_cache_key"} | removed
    for name in members.keys() & {"messages", "input", "contents", "tools", "system", "prompt"} - unknown:
        assert sent.get(name) == members.get(name)
    if target.alias and wire.operation.family is not Family.GOOGLE:
        assert sent["model"] == "real"
    if operation in (Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES, Operation.GEMINI_STREAM):
        assert sent.get("store", "absent") == (False if target.store else "absent")


def test_no_family_is_cut_out_of_a_name():
    cut = re.compile(
        r"""operation(?:\.value)?\.(?:partition|rpartition|split|startswith|removeprefix)\(|["'](?:openai|anthropic|gemini)\.["']"""
    )
    root = Path(__file__).parents[2]
    sources = [path for folder in ("gateway", "providers", "metering") for path in (root / folder).rglob("*.py")]

    assert len(sources) > 100
    assert [str(path) for path in sources if cut.search(path.read_text())] == []


def test_an_answer_is_asked_what_it_is_and_not_which_scanner_watches_it():
    root = Path(__file__).parents[2]
    sources = [path.read_text() for folder in ("gateway", "providers") for path in (root / folder).rglob("*.py")]
    classes = [node for text in sources for node in ast.walk(ast.parse(text)) if isinstance(node, ast.ClassDef)]
    scanners = {one.name for one in classes if "def estimated_output(" in ast.unparse(one)}
    while more := {one.name for one in classes if scanners & {ast.unparse(base) for base in one.bases}} - scanners:
        scanners |= more
    assert scanners >= {"Scanner", "Around", "Bounded", "ChatStream", "GenerateArray", "JsonBody", "Opaque", "Restored"}

    names = "|".join(scanners)
    asks = re.compile(
        rf"isinstance\([^()]*,[^)]*\b(?:{names})\b|\bcase (?:{names})\(|attr\(\S*(?:scanner|watcher|inner),"
    )
    assert [found[0] for text in sources for found in asks.finditer(text)] == []
