"""Every recorded request is read, and changed only as documented.

What is expected is worked out here from the decoded body, independently of how `providers` reads the
bytes. The recordings hold decoded bodies, so each is written in three ways.
"""

from __future__ import annotations

import gzip
import json
import os
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from providers.dialect import Family, Head, Operation, Refusal, Target, Wire
from providers.paths import PathFault, Route, resolve
from providers.steps import at_once
from providers.tools.catalog import UNKNOWN
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
    ("google", "count_tokens"): Operation.GEMINI_COUNT_TOKENS,
}
STYLES = {
    "compact": {"separators": (",", ":"), "ensure_ascii": False},
    "escaped": {},
    "indented": {"indent": 2, "ensure_ascii": False},
}
PSEUDONYM = "pseudonym-of-the-account"
# Hosts that name the model in the path: not served by these operations.
MODEL_IN_PATH = ("/openai/deployments/", "/publishers/")


def records() -> Iterator[dict]:
    with gzip.open(CORPUS, "rt", encoding="utf-8") as lines:
        for line in lines:
            record = json.loads(line)
            if record["method"] == "POST" and isinstance(record["request_body"], dict):
                yield record


def operation_of(record: dict) -> Operation | None:
    if record["provider"] == "google" and record["api"] == "embeddings":
        verb = record["url_path"].partition("?")[0].rpartition(":")[2]
        return {"embedContent": Operation.GEMINI_EMBED, "batchEmbedContents": Operation.GEMINI_BATCH_EMBED}.get(verb)
    if record["url_path"].startswith("/v1/responses/compact"):
        return Operation.OPENAI_COMPACT
    return OPERATIONS.get((record["provider"], record["api"]))


def served() -> Iterator[tuple[dict, Operation]]:
    for record in records():
        operation = operation_of(record)
        if operation is not None and not any(part in record["url_path"] for part in MODEL_IN_PATH):
            yield record, operation


def items(value: object) -> list[dict]:
    """The objects of a list, or a lone object."""
    if isinstance(value, dict):
        return [value]
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []


def expected_refusals(operation: Operation, body: dict) -> set[str]:
    """The members for which this request has to be refused."""
    if operation.family is Family.OPENAI:
        return _openai_refusals(operation, body)
    return _anthropic_refusals(body) if operation.family is Family.ANTHROPIC else _gemini_refusals(body)


def uncounted(operation: Operation, body: dict) -> bool:
    """The request switches on a tool that costs something which the answer does not count: it is refused as well."""
    if operation.family is not Family.OPENAI:
        return False
    if operation is Operation.OPENAI_CHAT:
        members = {"plugins", "web_search_options", "search_parameters", "search_settings", "compound_custom"}
        return any(body.get(name) is not None for name in members)
    return any(tool.get("type") == "image_generation" for tool in items(body.get("tools")))


def _openai_refusals(operation: Operation, body: dict) -> set[str]:
    found = {"models"} if body.get("models") else set()
    if operation in (Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT, Operation.OPENAI_INPUT_TOKENS):
        stored = ("previous_response_id", "conversation", "prompt", "background")
        found |= {name for name in stored if body.get(name)}
        for item in items(body.get("input")):
            parts = items(item.get("content")) + items(item.get("output"))
            if item.get("type") == "item_reference" or any(part.get("file_id") for part in parts):
                found.add("input")
        for tool in items(body.get("tools")):
            container = tool.get("container")
            if isinstance(container, str) or (container or {}).get("file_ids"):
                found.add("tools")
    for message in items(body.get("messages")):
        if any((part.get("file") or {}).get("file_id") for part in items(message.get("content"))):
            found.add("messages")
    return found


def _anthropic_refusals(body: dict) -> set[str]:
    found = {name for name in ("container", "thread") if body.get(name)}
    blocks = [block for message in items(body.get("messages")) for block in items(message.get("content"))]
    blocks += [inner for block in blocks for inner in items(block.get("content"))]
    for block in blocks:
        source = block.get("source")
        if block.get("type") == "container_upload" or (isinstance(source, dict) and source.get("type") == "file"):
            found.add("messages")
    return found


def _gemini_refusals(body: dict) -> set[str]:
    found = {"cachedContent"} if body.get("cachedContent") else set()
    for content in items(body.get("contents")) + items(body.get("systemInstruction")):
        for part in items(content.get("parts")):
            file = part.get("fileData") or part.get("file_data") or {}
            if "generativelanguage.googleapis.com" in (file.get("fileUri") or file.get("file_uri") or ""):
                found.add("fileData")
    return found


def expected_body(operation: Operation, body: dict, *, wants_usage: bool) -> dict:
    """What the provider is sent, for a target that knows every switch."""
    sent = json.loads(json.dumps(body))
    if operation.family is Family.OPENAI:
        for name in ("user", "metadata", "client_metadata"):
            sent.pop(name, None)
        for name in ("prompt_cache_key", "safety_identifier"):
            if sent.get(name) is not None:
                sent[name] = PSEUDONYM
        if operation in (Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES):
            sent["store"] = False
        else:
            sent.pop("store", None)
        if operation is Operation.OPENAI_RESPONSES and body.get("store") is not False:
            included = sent.get("include") or []
            if "reasoning.encrypted_content" not in included:
                sent["include"] = [*included, "reasoning.encrypted_content"]
        if not wants_usage:
            sent["stream_options"] = (sent.get("stream_options") or {}) | {"include_usage": True}
    elif operation.family is Family.ANTHROPIC:
        if (sent.get("metadata") or {}).get("user_id") is not None:
            sent["metadata"]["user_id"] = PSEUDONYM
    else:
        sent.pop("labels", None)
        if operation in (Operation.GEMINI_GENERATE, Operation.GEMINI_STREAM):
            sent["store"] = False
    return sent


def read(wire: Wire, body: bytes) -> Head | Refusal:
    try:
        return at_once(wire.read(body, "gemini" if wire.operation.family is Family.GOOGLE else None))
    except Refusal as refusal:
        return refusal


@pytest.mark.parametrize("style", STYLES)
def test_every_request_is_read_and_changed_as_documented(style):
    seen, refused, provider_refused = Counter(), Counter(), 0
    for record, operation in served():
        wire = WIRES[operation]
        meant = record["request_body"]
        body = json.dumps(meant, **STYLES[style]).encode()
        where = record["id"]
        seen[operation] += 1
        expected = expected_refusals(operation, meant)
        head = read(wire, body)
        if isinstance(head, Refusal):
            if head.code == "invalid_request":  # then the provider has refused it as well
                assert record["status"] >= 400, where
                provider_refused += 1
            else:
                assert head.param in expected, where
                refused[head.param] += 1
            continue
        assert not expected, where
        assert UNKNOWN not in head.server_tools, where
        assert head.model == ("gemini" if wire.operation.family is Family.GOOGLE else meant["model"]), where
        if operation is not Operation.GEMINI_STREAM:
            assert head.stream is (meant.get("stream") is True), where
        target = Target(head.model, reasons=True, pseudonym=PSEUDONYM)
        sent = at_once(wire.splice(body, head, target))
        assert json.loads(sent) == expected_body(operation, meant, wants_usage=head.wants_usage), where
        for name in ("messages", "input", "contents", "tools", "system", "prompt"):
            if name in head.members:
                start, end = head.members[name]
                assert body[start:end] in sent, where
    # One is recorded without its request, the other is asked of hosts only, in place of legacy completions.
    assert set(Operation) - set(seen) == {Operation.GEMINI_EMBED, Operation.OPENAI_FILL_IN}
    assert sum(seen.values()) > 4_000
    assert refused
    assert sum(refused.values()) + provider_refused < sum(seen.values()) / 50


def test_nothing_changes_for_a_target_that_knows_no_switch_when_nobody_is_named():
    unchanged = 0
    for record, operation in served():
        wire = WIRES[operation]
        meant = {name: value for name, value in record["request_body"].items() if name not in PERSONAL}
        body = json.dumps(meant).encode()
        head = read(wire, body)
        if isinstance(head, Head):
            assert at_once(wire.splice(body, head, Target(head.model, store=False, include_usage=False))) is body
            unchanged += 1
    assert unchanged > 4_000


PERSONAL = ("user", "metadata", "client_metadata", "prompt_cache_key", "safety_identifier", "labels", "store")


def test_the_paths_of_first_party_hosts_resolve():
    resolved, refused = Counter(), Counter()
    for record in records():
        if "alt_host" in record["features"]:
            continue
        path = record["url_path"].partition("?")[0]
        route = resolve("POST", path)
        operation = operation_of(record)
        if operation is not None:
            assert isinstance(route, Route), path
            assert route.operation is operation, path
            resolved[operation] += 1
        else:
            assert isinstance(route, PathFault), path
            assert route.code in ("privacy_unsupported", "unsupported_feature"), path
            refused[path.split("/")[2]] += 1
    assert len(resolved) > 9
    assert len(refused) > 8
