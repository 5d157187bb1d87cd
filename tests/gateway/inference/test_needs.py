"""A request goes only to targets that are not stated to lack what it needs; if there is none it is refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import load
from gateway.config import Capability
from gateway.config.load import read
from gateway.errors import IncapableModel
from gateway.http.answers import sentence
from gateway.inference.admission import Admission, admit, read_head
from gateway.inference.needs import _SAYS, needed
from metering.learning import Learning
from providers.dialect import Operation
from providers.steps import at_once
from providers.wires import WIRES

PNG = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
PDF, WAV = "JVBERi0xLjQK", "UklGRiQAAABXQVZFZm10IA=="
SCHEMA = {"type": "object", "properties": {"a": {"type": "string"}}}
KINDS = {"openai": "openai", "anthropic": "anthropic", "google": "google"}
STATED = {"company": "c", "api_keys": ["k"], "training": False, "retention_days": 0, "region": "global"}


def chat(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": list(parts) or "hello"}], **members}


def responses(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"input": [{"role": "user", "content": list(parts) or "hello"}], **members}


def messages(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"max_tokens": 9, **chat(*parts, **members)}


def generate(*parts: Any, **members: Any) -> dict[str, Any]:
    return {"contents": [{"role": "user", "parts": list(parts) or [{"text": "hello"}]}], **members}


def source(kind: str, data: str) -> dict[str, Any]:
    return {"type": "base64", "media_type": kind, "data": data}


def inline(kind: str, data: str) -> dict[str, Any]:
    return {"inlineData": {"mimeType": kind, "data": data}}


Op, C = Operation, Capability
CASES = [
    (Op.OPENAI_CHAT, C.VISION, "messages", chat({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PNG}"}})),
    (Op.OPENAI_CHAT, C.VISION, "messages", chat({"type": "image_url", "image_url": {"url": "https://h.example/a"}})),
    (Op.OPENAI_CHAT, C.DOCUMENTS, "messages", chat({"type": "file", "file": {"file_data": f"data:application/pdf;base64,{PDF}"}})),
    (Op.OPENAI_CHAT, C.AUDIO, "messages", chat({"type": "input_audio", "input_audio": {"data": WAV, "format": "wav"}})),
    (Op.OPENAI_CHAT, C.TOOLS, "tools", chat(tools=[{"type": "function", "function": {"name": "f"}}])),
    (
        Op.OPENAI_CHAT, C.STRUCTURED_OUTPUT, "response_format",
        chat(response_format={"type": "json_schema", "json_schema": {"name": "n", "schema": SCHEMA}}),
    ),
    (Op.OPENAI_RESPONSES, C.VISION, "input", responses({"type": "input_image", "image_url": f"data:image/png;base64,{PNG}"})),
    (Op.OPENAI_RESPONSES, C.DOCUMENTS, "input", responses({"type": "input_file", "file_data": f"data:application/pdf;base64,{PDF}"})),
    (Op.OPENAI_RESPONSES, C.TOOLS, "tools", responses(tools=[{"type": "function", "name": "f", "parameters": SCHEMA}])),
    (
        Op.OPENAI_RESPONSES, C.STRUCTURED_OUTPUT, "text",
        responses(text={"format": {"type": "json_schema", "name": "n", "schema": SCHEMA}}),
    ),
    (Op.ANTHROPIC_MESSAGES, C.VISION, "messages", messages({"type": "image", "source": source("image/png", PNG)})),
    (
        Op.ANTHROPIC_MESSAGES, C.VISION, "messages",
        messages({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": source("image/png", PNG)}]}),
    ),
    (Op.ANTHROPIC_MESSAGES, C.DOCUMENTS, "messages", messages({"type": "document", "source": source("application/pdf", PDF)})),
    (Op.ANTHROPIC_MESSAGES, C.TOOLS, "tools", messages(tools=[{"name": "f", "input_schema": SCHEMA}])),
    (
        Op.ANTHROPIC_MESSAGES, C.STRUCTURED_OUTPUT, "output_config",
        messages(output_config={"format": {"type": "json_schema", "schema": SCHEMA}}),
    ),
    (Op.GEMINI_GENERATE, C.VISION, "contents", generate(inline("image/png", PNG))),
    (Op.GEMINI_GENERATE, C.DOCUMENTS, "contents", generate(inline("application/pdf", PDF))),
    (Op.GEMINI_GENERATE, C.AUDIO, "contents", generate(inline("audio/wav", WAV))),
    (Op.GEMINI_GENERATE, C.TOOLS, "tools", generate(tools=[{"functionDeclarations": [{"name": "f"}]}])),
    (Op.GEMINI_GENERATE, C.STRUCTURED_OUTPUT, "generationConfig", generate(generationConfig={"responseSchema": SCHEMA})),
]  # fmt: skip
PLAIN = [
    (Op.OPENAI_CHAT, chat()),
    (Op.OPENAI_CHAT, chat(tools=[], response_format={"type": "json_object"}, reasoning_effort="high")),
    (Op.OPENAI_RESPONSES, responses()),
    (Op.ANTHROPIC_MESSAGES, messages({"type": "document", "source": {"type": "text", "media_type": "text/plain", "data": "hello"}})),
    (Op.GEMINI_GENERATE, generate()),
]  # fmt: skip


def asked(
    operation: Operation, body: dict[str, Any], *states: dict[str, bool], named: Operation | None = None
) -> Admission:
    """Decide about a request to a model with one target for each statement."""
    kind = KINDS[operation.family.value]
    table = {
        "providers": {
            f"p{number}": {"kind": kind, "base_url": "https://h.example", **STATED} for number in range(len(states))
        },
        "models": [
            {
                "name": "narrow",
                "price": {"input": 1, "output": 1},
                "targets": [
                    {"provider": f"p{number}", "model": "m", "capabilities": stated}
                    for number, stated in enumerate(states)
                ],
            }
        ],
    }
    config = read(table, Path("gateway.toml"), {})
    wire = WIRES[operation]
    data = json.dumps({"model": "narrow", **body}).encode()
    head = at_once(read_head(wire, data, "narrow", config.policy))
    return admit(
        wire,
        head,
        (),
        catalog=load(config),
        config=config,
        principal=Principal("s", "p", "default", Mode.CLOUD, 2**53),
        learning=Learning(),
        operation=named,
    )


@pytest.mark.parametrize(("operation", "need", "param", "body"), CASES)
def test_what_the_only_target_lacks_is_refused_by_the_members_name(
    operation: Operation, need: Capability, param: str, body: dict[str, Any]
) -> None:
    with pytest.raises(IncapableModel) as caught:
        asked(operation, body, {need.value: False})
    error = caught.value
    assert (error.status, error.code, error.param) == (400, "unsupported_feature", param)
    assert error.args == ("unsupported_feature",)
    assert sentence(error).startswith(_SAYS[need])
    assert "Model: narrow." in sentence(error)


@pytest.mark.parametrize(("operation", "need", "param", "body"), CASES)
def test_unknown_passes_and_a_target_that_lacks_it_is_passed_by(
    operation: Operation, need: Capability, param: str, body: dict[str, Any]
) -> None:
    assert param in body
    assert len(asked(operation, body, {}).targets) == 1
    assert len(asked(operation, body, {need.value: True}).targets) == 1
    found = asked(operation, body, {need.value: False}, {}, {need.value: False}, {need.value: True})
    assert [target.provider.name for target in found.targets] == ["p1", "p3"]


@pytest.mark.parametrize(("operation", "body"), PLAIN)
def test_what_needs_nothing_goes_anywhere(operation: Operation, body: dict[str, Any]) -> None:
    nothing = {one.value: False for one in Capability}
    found = asked(operation, body, nothing, nothing)
    assert len(found.targets) == 2
    assert needed(found.head) == frozenset()


def test_the_member_is_that_of_the_callers_own_api() -> None:
    tools = messages(
        {"type": "image", "source": source("image/png", PNG)}, tools=[{"name": "f", "input_schema": SCHEMA}]
    )
    with pytest.raises(IncapableModel) as caught:
        asked(Op.ANTHROPIC_MESSAGES, tools, {"vision": False, "tools": False}, named=Op.GEMINI_STREAM)
    assert caught.value.param == "contents"  # of several, the first


def test_targets_that_lack_different_things() -> None:
    both = chat(
        {"type": "image_url", "image_url": {"url": "https://h.example/a"}},
        tools=[{"type": "function", "function": {"name": "f"}}],
    )
    with pytest.raises(IncapableModel) as caught:
        asked(Op.OPENAI_CHAT, both, {"tools": False}, {"vision": False})
    assert caught.value.param == "tools"  # what the first one lacks
