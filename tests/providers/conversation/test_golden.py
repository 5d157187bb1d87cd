"""Another gateway's translations of the same inputs: what differs from ours is listed with the reason, and nothing else.

The data are not in this repository. `docs/translation.md` tells the differences to its readers.
"""

from __future__ import annotations

import json
import os
import tarfile
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

from providers.conversation.conversation import Dialect
from providers.conversation.counting import prepare_count
from providers.conversation.dialects import Capabilities, answer_reader, read_request
from providers.conversation.fitting import fit
from providers.dialect import Refusal
from tests.providers.conversation.answers import told

GOLDEN = Path(os.environ.get("GOLDEN_DIR", Path(__file__).parents[4] / "shared" / "golden")) / "agentgateway.tar.gz"
pytestmark = pytest.mark.skipif(not GOLDEN.exists(), reason=f"NO GOLDEN PAIRS: {GOLDEN} does not exist, set GOLDEN_DIR")

SOURCES = {
    "completions": Dialect.CHAT,
    "messages": Dialect.MESSAGES,
    "responses": Dialect.RESPONSES,
    "anthropic": Dialect.MESSAGES,
    "vertex-gemini": Dialect.GEMINI,
}
TARGETS = {
    "anthropic": Dialect.MESSAGES,
    "completions": Dialect.CHAT,
    "messages": Dialect.MESSAGES,
    "responses": Dialect.RESPONSES,
    "vertex-gemini": Dialect.GEMINI,
}
BUDGETS = "they give every model a budget, ours an effort where the model knows one"
RESULTS = "they wrap what a tool returned as `content`; Google names `output`, and an object may stand as it is"
COUNTS = "they leave what the cache held out of prompt_tokens, which includes it"
THOUGHTS = "they leave the thoughts out"
REQUESTS = {
    ("reasoning", "anthropic"): ({"effort", "budget"}, BUDGETS),
    ("reasoning", "vertex-gemini"): ({"effort", "budget"}, BUDGETS),
    ("reasoning_max", "anthropic"): ({"effort", "budget"}, BUDGETS),
    ("reasoning_max", "vertex-gemini"): ({"effort", "budget"}, BUDGETS),
    ("multi-turn-tools", "vertex-gemini"): ({"turns"}, RESULTS),
    ("parallel-tool-call", "vertex-gemini"): ({"turns"}, RESULTS),
    ("tool-call", "vertex-gemini"): ({"turns"}, RESULTS),
    ("structured-output", "vertex-gemini"): ({"schema"}, "they write out references, which responseJsonSchema knows"),
    ("structured-output", "completions"): (
        {"schema_name", "schema_strict", "reasoning", "effort"},
        "the name is free; ours is strict where the schema is closed; they leave adaptive thinking out",
    ),
    ("cache_control", "completions"): ({"cache", "turns"}, "they keep marks that only some hosts of chat know"),
    ("gpt_adaptive_thinking_with_tools", "completions"): (
        {"reasoning", "effort"},
        "they switch thinking off beside tools, since one model refuses both",
    ),
    ("tools", "responses"): ({"tools"}, "an absent strict is true there, which the schema does not satisfy"),
}
REFUSED = {
    ("full", "anthropic"): "functions",
    ("generation-config", "vertex-gemini"): "n",
    ("image-file", "vertex-gemini"): "image_addresses",
    ("reasoning", "completions"): None,  # a member has no form of the API's
    ("responses_agent_subset", "responses"): "messages",  # a file that is kept at the provider
    ("server_tools", "completions"): "tools",
}
ANSWERS = {
    "basic.messages-completions": ({"counts"}, COUNTS),
    "thinking.messages-completions": ({"counts"}, COUNTS),
    "tool.messages-completions": ({"counts"}, COUNTS),
    "stream_message_delta_usage.messages-completions-streaming": ({"counts"}, COUNTS),
    "gemini_with_completion_tokens.completions-messages": ({"counts"}, "the total has thoughts that they leave out"),
    "gemini_zero_completion_tokens.completions-messages": ({"counts"}, "the total has a token that they leave out"),
    "openrouter_reasoning.completions-messages": ({"thoughts"}, THOUGHTS),
    "openrouter_reasoning.completions-responses": ({"thoughts"}, THOUGHTS),
    "reasoning.responses-messages": ({"thoughts"}, THOUGHTS),
    "stream_tool_empty_content.completions-responses-streaming": ({"calls"}, "they hide the id of the call"),
    "stream-refusal.responses-messages-streaming": (
        {"reason"},
        "they end with Anthropic's reason of a filter; the words of the model are an answer",
    ),
}


@pytest.fixture(scope="module")
def golden() -> dict[str, str]:
    """The text of each file, by its name."""
    with tarfile.open(GOLDEN) as archive:
        held = {member.name.removeprefix("./"): archive.extractfile(member) for member in archive if member.isfile()}
        return {name: file.read().decode(errors="replace") for name, file in held.items() if file is not None}


def pairs(golden: dict[str, str], kind: str) -> Iterator[tuple[str, str, Dialect, Dialect, str, str]]:
    """The name of an input, that of the target, both dialects, the input, and what they make of it."""
    for name, text in sorted(golden.items()):
        if not name.startswith(f"{kind}/") or not name.endswith(".snap"):
            continue
        _, folder, file = name.split("/")
        stem, target = file.removesuffix(".snap").rsplit(".", 1)
        source = SOURCES.get(folder)
        dialect = TARGETS.get(
            target.removesuffix("-streaming").rpartition(f"{'messages' if folder == 'anthropic' else folder}-")[2]
        )
        if source is not None and dialect is not None and dialect is not source:
            yield stem, target, source, dialect, golden[f"{kind}/{folder}/{stem}.json"], text.split("\n---\n", 1)[1]


def plain(value: Any) -> Any:
    if is_dataclass(value):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)} | {
            "kind": type(value).__name__
        }
    if isinstance(value, bytes):
        return json.loads(value) if value else None
    return [plain(one) for one in value] if isinstance(value, tuple) else value


def test_requests(golden):
    seen = 0
    for stem, target, source, dialect, given, text in pairs(golden, "requests"):
        made = json.loads(text)
        try:
            ours, _ = fit(read_request(source, given.encode()), dialect, output_limit=4_096)
        except Refusal as refusal:
            assert REFUSED[stem, target] == refusal.param, (stem, target)  # noqa: PT017 - by its name
            continue
        theirs = read_request(dialect, json.dumps(made.get("request", made)).encode())
        mine, other = plain(ours), plain(theirs)
        differing = {name for name in mine if mine[name] != other[name]} - {"stream"}
        assert differing == REQUESTS.get((stem, target), (set(), ""))[0], (stem, target)
        seen += 1
    assert seen >= 20


def test_counts(golden):
    """A request that counts tokens, for a provider of the same API."""
    seen = 0
    for name, text in golden.items():
        if name.startswith("requests/count-tokens/") and name.endswith(".anthropic.snap"):
            given = golden[name.replace(".anthropic.snap", ".json")].encode()
            theirs = json.loads(text.split("\n---\n", 1)[1])["request"]
            capabilities = Capabilities(4_096)
            made = prepare_count(
                Dialect.MESSAGES, Dialect.MESSAGES, given, members=(), model=theirs["model"], capabilities=capabilities
            )
            assert json.loads(made.body) == theirs, name
            seen += 1
    assert seen >= 2


def said(dialect: Dialect, body: str) -> dict[str, Any] | None:
    reader = answer_reader(dialect)
    events = reader.whole(body.strip().encode())
    if reader.failed:
        return None
    blocks, finish, counts, _ = told(events)
    return {
        "text": "".join(block[3] for block in blocks if block[0] in {"text", "refusal"}),
        "thoughts": "".join(block[3] for block in blocks if block[0] == "reasoning"),
        "calls": [block[1:4] for block in blocks if block[0] == "tool"],
        "reason": finish and str(finish[0]),
        "counts": (counts.input or 0, counts.output or 0),
    }


def test_answers(golden):
    seen = 0
    for stem, target, source, dialect, given, text in pairs(golden, "response"):
        body = json.dumps(json.loads(text)["response"]) if text.lstrip().startswith("{") else text
        ours, theirs = said(source, given), said(dialect, body)
        if ours is None or theirs is None:
            assert (ours, theirs) != (None, None), (stem, target)
            continue
        differing = {name for name in ours if ours[name] != theirs[name]}
        assert differing == ANSWERS.get(f"{stem}.{target}", (set(), ""))[0], (stem, target)
        seen += 1
    assert seen >= 25
