"""Nothing that the simulator says has a shape that the recordings do not have.

Every path of JSON members in its answers occurs in recorded ones of the same API, and so do the
event names, the line endings and the header names.
"""

import gzip
import json
import os
from pathlib import Path

import pytest

from benchmarks.simulator import Controls
from benchmarks.simulator.exchange import Call
from benchmarks.simulator.ledger import Bill
from benchmarks.simulator.routes import answer

CORPUS = Path(os.environ.get("CORPUS_DIR", Path(__file__).parents[3] / "shared" / "corpus")) / "recordings.jsonl.gz"
pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=f"the recordings are not at {CORPUS}: set CORPUS_DIR")

TOOL_SCHEMA = {"type": "object", "properties": {"query": {"type": "string"}}}
CHAT_TOOL = {"type": "function", "function": {"name": "lookup", "parameters": TOOL_SCHEMA}}
RESPONSES_TOOL = {"type": "function", "name": "lookup", "parameters": TOOL_SCHEMA}
MESSAGES_TOOL = {"name": "lookup", "input_schema": TOOL_SCHEMA}
GEMINI_TOOL = {"functionDeclarations": [{"name": "lookup", "parameters": TOOL_SCHEMA}]}
CALL = [{"role": "user", "content": "call the tool"}]
PARTS = [{"role": "user", "parts": [{"text": "call the tool"}]}]

CASES = {
    "chat": ("chat", "/v1/chat/completions", "", {"model": "o4-mini", "messages": CALL}),
    "chat-tool": ("chat", "/v1/chat/completions", "", {"model": "m", "messages": CALL, "tools": [CHAT_TOOL]}),
    "responses": (
        "responses",
        "/v1/responses",
        "",
        {"model": "gpt-5", "input": "x", "include": ["reasoning.encrypted_content"]},
    ),
    "responses-tool": (
        "responses",
        "/v1/responses",
        "",
        {"model": "m", "input": "call the tool", "tools": [RESPONSES_TOOL]},
    ),
    "messages": ("messages", "/v1/messages", "", {"model": "m", "messages": CALL, "thinking": {"type": "enabled"}}),
    "messages-tool": ("messages", "/v1/messages", "", {"model": "m", "messages": CALL, "tools": [MESSAGES_TOOL]}),
    "gemini": (
        "generateContent",
        "/v1beta/models/m:generateContent",
        "",
        {"contents": PARTS, "generationConfig": {"thinkingConfig": {"includeThoughts": True}}},
    ),
    "gemini-tool": (
        "generateContent",
        "/v1beta/models/m:generateContent",
        "",
        {"contents": PARTS, "tools": [GEMINI_TOOL]},
    ),
}
STREAMED = {"generateContent": "streamGenerateContent"}


@pytest.fixture(scope="module")
def recorded():
    """(api, stream) -> member paths, event names, header names."""
    seen = {}
    with gzip.open(CORPUS) as lines:
        for line in lines:
            record = json.loads(line)
            if "alt_host" in record["features"] or record["status"] != 200:
                continue
            entry = seen.setdefault((record["api"], bool(record["stream"])), (set(), set(), set()))
            entry[2].update(record["response_headers"])
            body = record["response_body"]
            if not record["stream"]:
                try:
                    paths(json.loads(body), "", entry[0])
                except json.JSONDecodeError:
                    continue
                continue
            for name, data in sse(body):
                entry[1].add(name)
                paths(data, "", entry[0])
    return seen


def sse(body):
    for event in body.replace("\r\n", "\n").split("\n\n"):
        name = None
        for line in event.split("\n"):
            if line.startswith("event: "):
                name = line.removeprefix("event: ")
            elif line.startswith("data: ") and line != "data: [DONE]":
                try:
                    yield name, json.loads(line.removeprefix("data: "))
                except json.JSONDecodeError:
                    continue


def paths(value, prefix, into):
    """Every member's path; what a caller chose (schemas, arguments) is left out."""
    if isinstance(value, dict):
        for name, inner in value.items():
            into.add(f"{prefix}.{name}")
            if (
                name not in {"args", "input", "parameters", "input_schema", "schema", "tools", "text", "format"}
                or prefix == ""
            ):
                paths(inner, f"{prefix}.{name}", into)
    elif isinstance(value, list):
        for inner in value:
            paths(inner, f"{prefix}[]", into)


def simulate(path, query, body):
    call = Call(
        method="POST",
        path=path,
        query=query,
        headers=[],
        body=json.dumps(body).encode(),
        keep_alive=True,
        bill=Bill(id=""),
        controls=Controls(),
        number=1,
    )
    return answer(call, Controls(), {}, frozenset())


def flat(events):
    return b"".join(b"".join(event) if isinstance(event, tuple) else event for event in events)


@pytest.mark.parametrize("case", CASES)
def test_json_answers_have_recorded_members(case, recorded):
    api, path, query, body = CASES[case]
    reply = simulate(path, query, body)
    made = set()
    paths(json.loads(reply.content), "", made)
    assert made - recorded[api, False][0] == set()


@pytest.mark.parametrize("case", CASES)
def test_streams_have_recorded_events_and_members(case, recorded):
    api, path, query, body = CASES[case]
    if api == "generateContent":
        path, query = path.replace("generateContent", "streamGenerateContent"), "alt=sse"
    else:
        body = body | {"stream": True}
    if api == "chat":
        body |= {"stream_options": {"include_usage": True}}
    text = flat(simulate(path, query, body).content).decode()
    members, names, _ = recorded[STREAMED.get(api, api), True]
    made, made_names = set(), set()
    for name, data in sse(text):
        made_names.add(name)
        paths(data, "", made)
    assert made_names - names == set()
    assert made - members == set()
    assert ("\r\n\r\n" in text) == (api == "generateContent")
    assert text.endswith("data: [DONE]\n\n") == (api == "chat")


@pytest.mark.parametrize("case", CASES)
def test_headers_are_recorded_ones(case, recorded):
    api, path, query, body = CASES[case]
    reply = simulate(path, query, body)
    known = recorded[api, False][2] | (recorded["chat", False][2] if api == "responses" else set())
    names = {line.partition(b":")[0].decode().lower() for line in reply.headers.split(b"\r\n") if line}
    assert names - known - {"set-cookie"} == set()  # cookies were taken out of the recordings
