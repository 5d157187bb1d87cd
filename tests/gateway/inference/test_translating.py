"""In which dialect a request goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.catalog.catalog import load
from gateway.catalog.naming import required_output, thinks_by_budget
from gateway.config.load import read
from gateway.inference.translating import further_ways, way_of
from providers.conversation.conversation import Dialect
from providers.conversation.counting import COUNTING
from providers.conversation.embeddings import EMBEDDING
from providers.conversation.translator import DIALECTS
from providers.dialect import Operation
from tests.gateway_process import STATEMENT

PROVIDERS = {
    name: {"kind": kind, "api_keys": ["k"], **STATEMENT, **more}
    for name, kind, more in (
        ("maker", "openai", {}),
        ("host", "openai", {"base_url": "https://h.example"}),
        ("plain", "openai", {"base_url": "https://p.example", "responses": False}),
        ("claude", "anthropic", {}),
        ("gemini", "google", {}),
        ("fills", "openai", {"profile": "mistral"}),
    )
}
MODELS = [
    {"name": name, "price": {"input": 1, "output": 4}, "targets": [{"provider": of, "model": "m"} for of in places]}
    for name, places in [
        *((name, (name,)) for name in PROVIDERS),
        ("both", ("claude", "host")),
        ("all", ("plain", "claude", "maker", "gemini")),
    ]
]
CATALOG = load(read({"providers": PROVIDERS, "models": MODELS}, Path("gateway.toml"), {}))
CHAT, RESPONSES, MESSAGES = Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES, Operation.ANTHROPIC_MESSAGES
WHOLE, STREAM = Operation.GEMINI_GENERATE, Operation.GEMINI_STREAM
COUNT_RESPONSE, COUNT_MESSAGE = Operation.OPENAI_INPUT_TOKENS, Operation.ANTHROPIC_COUNT_TOKENS
COUNT_CONTENT = Operation.GEMINI_COUNT_TOKENS
EMBED, EMBED_ONE, EMBED_ALL = Operation.OPENAI_EMBEDDINGS, Operation.GEMINI_EMBED, Operation.GEMINI_BATCH_EMBED
CHATS = {MESSAGES: CHAT, WHOLE: CHAT, STREAM: CHAT}
EMBEDS = {EMBED_ONE: EMBED, EMBED_ALL: EMBED}
GOES_ON = {
    "maker": {MESSAGES: RESPONSES, WHOLE: RESPONSES, STREAM: RESPONSES, **EMBEDS}
    | {COUNT_MESSAGE: COUNT_RESPONSE, COUNT_CONTENT: COUNT_RESPONSE},
    "host": CHATS | EMBEDS,
    "plain": {RESPONSES: CHAT} | CHATS | EMBEDS,
    "fills": {RESPONSES: CHAT, Operation.OPENAI_COMPLETIONS: Operation.OPENAI_FILL_IN} | CHATS | EMBEDS,
    "claude": {CHAT: MESSAGES, RESPONSES: MESSAGES, WHOLE: MESSAGES, STREAM: MESSAGES}
    | {COUNT_RESPONSE: COUNT_MESSAGE, COUNT_CONTENT: COUNT_MESSAGE},
    "gemini": {CHAT: WHOLE, RESPONSES: WHOLE, MESSAGES: WHOLE, EMBED: EMBED_ALL}
    | {COUNT_RESPONSE: COUNT_CONTENT, COUNT_MESSAGE: COUNT_CONTENT},
    "both": {WHOLE: MESSAGES, STREAM: MESSAGES, COUNT_CONTENT: COUNT_MESSAGE},
}


@pytest.mark.parametrize("name", GOES_ON)
@pytest.mark.parametrize("operation", Operation)
def test_a_request_stays_in_its_dialect_where_some_target_has_it(name: str, operation: Operation) -> None:
    found = CATALOG.resolve(name)
    assert found is not None
    way = way_of(operation, found, stream=operation is STREAM)
    assert (way.operation if way else None) == GOES_ON[name].get(operation)
    assert way is None or way.target.provider.name == ("claude" if name == "both" else name)


@pytest.mark.parametrize("operation", [CHAT, RESPONSES, MESSAGES])
def test_a_stream_from_gemini_is_an_event_stream(operation: Operation) -> None:
    found = CATALOG.resolve("gemini")
    assert found is not None
    way = way_of(operation, found, stream=True)
    assert way is not None
    assert (way.operation, way.query, way.host) == (STREAM, "alt=sse", Dialect.GEMINI)


@pytest.mark.parametrize(
    ("operation", "companies", "ways"),
    [
        (CHAT, (), []),
        (CHAT, ("claude", "gemini"), [(MESSAGES, "claude"), (STREAM, "gemini")]),
        (MESSAGES, ("gemini", "plain"), [(CHAT, "plain"), (STREAM, "gemini")]),
        (MESSAGES, ("maker", "plain", "host"), [(CHAT, "plain"), (RESPONSES, "maker")]),
        (STREAM, ("maker",), [(RESPONSES, "maker")]),
        (EMBED, ("gemini", "claude"), []),
    ],
)
def test_targets_of_other_dialects_are_reached_by_further_ways(
    operation: Operation, companies: tuple[str, ...], ways: list[tuple[Operation, str]]
) -> None:
    found = CATALOG.resolve("all")
    assert found is not None
    first = way_of(operation, found, stream=True)
    further = further_ways(operation, found, first, stream=True, companies=companies)
    assert [(way.operation, way.target.provider.name) for way in further] == ways
    selected = {CHAT: "plain", EMBED: "plain", MESSAGES: "claude", STREAM: "gemini"}[operation]
    assert {way.selected for way in further} <= {selected}
    assert all(target.provider.company in companies for way in further for target in way.model.targets)


def test_only_these_operations_are_translated() -> None:
    others = set(COUNTING) | EMBEDDING | {Operation.OPENAI_COMPLETIONS}
    assert {operation for ways in GOES_ON.values() for operation in ways} == set(DIALECTS) | others


@pytest.mark.parametrize(
    ("name", "budget", "limit"),
    [
        ("claude-3-haiku-20240307", True, 4_096),
        ("claude-3-5-sonnet-latest", True, 8_192),
        ("claude-sonnet-4-20250514", True, 32_000),
        ("claude-opus-4-5", True, 32_000),
        ("claude-haiku-4-5@20251001", True, 32_000),
        ("eu.anthropic.claude-sonnet-4-5-20250929-v1:0", True, 32_000),
        ("anthropic.claude-3-5-haiku-20241022-v1:0", True, 8_192),
        ("us.anthropic.claude-opus-4-7", False, 32_000),
        ("claude-opus-4-6", False, 32_000),
        ("claude-opus-4-10", False, 32_000),
        ("claude-sonnet-5", False, 32_000),
        ("gemini-2.5-pro", True, 32_000),
        ("gemini-3-pro", False, 32_000),
    ],
)
def test_what_a_model_takes_is_read_off_its_name(name: str, budget: bool, limit: int) -> None:
    assert (thinks_by_budget(name), required_output(name)) == (budget, limit)
