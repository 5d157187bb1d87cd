"""An agent's loop over two providers: it thinks, calls a tool, fails over, and comes back with its signature unchanged."""

import json

import pytest

from providers.conversation.conversation import (
    Counts,
    Dialect,
    Finish,
    Reason,
    Reasoning,
    ReasoningDelta,
    Seal,
    Sealed,
    TextDelta,
    ToolDelta,
    ToolResult,
    ToolStart,
    ToolUse,
)
from providers.conversation.dialects import Capabilities, prepare, read_request, write_answer
from providers.dialect import Family

FAMILIES = {Dialect.RESPONSES: Family.OPENAI, Dialect.MESSAGES: Family.ANTHROPIC, Dialect.GEMINI: Family.GOOGLE}
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
ASK = {
    Dialect.CHAT: {
        "messages": [{"role": "user", "content": "read a"}],
        "tools": [{"type": "function", "function": {"name": "read", "parameters": SCHEMA}}],
        "reasoning_effort": "high",
    },
    Dialect.RESPONSES: {
        "input": [{"role": "user", "content": "read a"}],
        "tools": [{"type": "function", "name": "read", "parameters": SCHEMA}],
        "reasoning": {"effort": "high", "summary": "auto"},
    },
    Dialect.MESSAGES: {
        "messages": [{"role": "user", "content": "read a"}],
        "max_tokens": 4_096,
        "tools": [{"name": "read", "input_schema": SCHEMA}],
        "thinking": {"type": "enabled", "budget_tokens": 2_048},
    },
    Dialect.GEMINI: {
        "contents": [{"role": "user", "parts": [{"text": "read a"}]}],
        "tools": [{"functionDeclarations": [{"name": "read", "parametersJsonSchema": SCHEMA}]}],
        "generationConfig": {"thinkingConfig": {"includeThoughts": True}},
    },
}


def answered(ask, dialect, answer, identity, text):
    """The client's next request: the answer as it came, and what the tool returned."""
    match dialect:
        case Dialect.CHAT:
            result = {"role": "tool", "tool_call_id": identity, "content": text}
            return ask | {"messages": [*ask["messages"], answer["choices"][0]["message"], result]}
        case Dialect.RESPONSES:
            result = {"type": "function_call_output", "call_id": identity, "output": text}
            return ask | {"input": [*ask["input"], *answer["output"], result]}
        case Dialect.MESSAGES:
            said = {"role": "assistant", "content": answer["content"]}
            result = {"type": "tool_result", "tool_use_id": identity, "content": text}
            return ask | {"messages": [*ask["messages"], said, {"role": "user", "content": [result]}]}
        case Dialect.GEMINI:
            result = {"functionResponse": {"id": identity, "name": "read", "response": {"output": text}}}
            contents = [*ask["contents"], answer["candidates"][0]["content"], {"role": "user", "parts": [result]}]
            return ask | {"contents": contents}


def turn(provider, number):
    """What a provider's model says: it thinks, says something and calls the tool."""
    seal = Seal(FAMILIES[provider], f"SEAL{number}abcd")
    return [
        ReasoningDelta(f"thought {number}"),
        Sealed(seal),
        TextDelta(f"step {number}"),
        ToolStart(f"call_{number}", "read"),
        ToolDelta('{"path":"a"}'),
        Finish(Reason.TOOL),
        Counts(5, 7, 3),
    ]


@pytest.mark.parametrize("second", FAMILIES)
@pytest.mark.parametrize("first", FAMILIES)
@pytest.mark.parametrize("client", Dialect)
def test_a_loop_over_two_providers(client, first, second):
    ask = ASK[client]
    for number, provider in enumerate((first, second, first)):
        made = prepare(
            client, provider, json.dumps(ask).encode(), members=ask, model="m", capabilities=Capabilities(8_192)
        )
        seen = read_request(provider, made.body)
        seals = [part.seal.data for part in parts(seen, Reasoning) if part.seal is not None]
        earlier = (first, second, first)[:number]
        assert seals == [f"SEAL{at}abcd" for at, one in enumerate(earlier) if one is provider]
        assert {part.seal.family for part in parts(seen, Reasoning) if part.seal} <= {FAMILIES[provider]}
        assert [json.loads(part.arguments) for part in parts(seen, ToolUse)] == [{"path": "a"}] * number
        assert [(part.id, part.text) for part in parts(seen, ToolResult)] == [
            (f"call_{at}", f"text {at}") for at in range(number)
        ]
        answer = write_answer(client, made.conversation, turn(provider, number), "id1", "m")
        assert answer is not None
        ask = answered(ask, client, json.loads(answer), f"call_{number}", f"text {number}")


def parts(conversation, kind):
    return [part for turn in conversation.turns for part in turn.parts if isinstance(part, kind)]
