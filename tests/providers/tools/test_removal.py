"""Tools that are switched off leave a request that does not insist on them, and nothing else of it changes."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialect import Operation, Target
from providers.steps import at_once
from providers.tools.catalog import SERVER_TOOLS
from providers.tools.removal import less_refused
from providers.wires import WIRES

CHAT, RESPONSES = Operation.OPENAI_CHAT, Operation.OPENAI_RESPONSES
MESSAGES, GEMINI = Operation.ANTHROPIC_MESSAGES, Operation.GEMINI_GENERATE
FUNCTION = {"type": "function", "name": "read", "parameters": {}}
SEARCH = {"type": "web_search"}
CLAUDE_TOOL = {"name": "read", "input_schema": {}}
CLAUDE_SEARCH = {"type": "web_search_20250305", "name": "web_search", "max_uses": 3}


def read(operation, members, allowed=frozenset()):
    path_model = "m" if operation is GEMINI else None
    body = json.dumps({"model": "m", **members}).encode()
    wire = WIRES[operation]
    head = less_refused(at_once(wire.read(body, path_model)), frozenset(allowed))
    return head, json.loads(at_once(wire.splice(body, head, Target("m", store=False))))


@pytest.mark.parametrize(
    ("operation", "members", "left"),
    [
        (RESPONSES, {"tools": [FUNCTION, SEARCH]}, {"tools": [FUNCTION]}),
        (RESPONSES, {"tools": [SEARCH], "tool_choice": "auto", "parallel_tool_calls": False}, {}),
        (RESPONSES, {"tools": [SEARCH, FUNCTION], "tool_choice": "required"}, {"tools": [FUNCTION]}),
        (
            RESPONSES,
            {"tools": [{"type": "namespace", "name": "n", "tools": [SEARCH, FUNCTION]}]},
            {"tools": [{"type": "namespace", "name": "n", "tools": [FUNCTION]}]},
        ),
        (RESPONSES, {"tools": [{"type": "namespace", "name": "n", "tools": [SEARCH]}]}, {}),
        (RESPONSES, {"tools": [{"type": "mcp", "server_label": "x"}, FUNCTION]}, {"tools": [FUNCTION]}),
        (CHAT, {"web_search_options": {}}, {}),
        (CHAT, {"web_search_options": {}, "tools": [FUNCTION]}, {"tools": [FUNCTION]}),
        (MESSAGES, {"tools": [CLAUDE_SEARCH, CLAUDE_TOOL]}, {"tools": [CLAUDE_TOOL]}),
        (MESSAGES, {"tools": [CLAUDE_SEARCH], "tool_choice": {"type": "auto"}}, {}),
        (
            MESSAGES,
            {"mcp_servers": [{"url": "https://x"}], "tools": [{"type": "mcp_toolset", "mcp_server_name": "x"}]},
            {},
        ),
        (
            GEMINI,
            {"tools": [{"googleSearch": {}, "functionDeclarations": []}]},
            {"tools": [{"functionDeclarations": []}]},
        ),
        (GEMINI, {"tools": [{"google_search": {}}], "toolConfig": {}}, {}),
        (GEMINI, {"tools": {"codeExecution": {}}}, {}),
    ],
)
def test_what_is_switched_off_is_taken_out(operation, members, left):
    if "tool_choice" in members and "tools" in left:
        left = {**left, "tool_choice": members["tool_choice"]}
    head, sent = read(operation, members)
    assert {name: value for name, value in sent.items() if name != "model"} == left
    assert head.removed_tools
    assert not head.server_tools


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        (RESPONSES, {"tools": [SEARCH], "tool_choice": "required"}),
        (RESPONSES, {"tools": [SEARCH, FUNCTION], "tool_choice": {"type": "web_search"}}),
        (
            RESPONSES,
            {"tools": [SEARCH, FUNCTION], "tool_choice": {"type": "allowed_tools", "mode": "auto", "tools": [SEARCH]}},
        ),
        (RESPONSES, {"tools": [FUNCTION], "input": [{"type": "additional_tools", "tools": [SEARCH]}]}),
        (RESPONSES, {"tools": [SEARCH], "input": [{"type": "additional_tools", "tools": [SEARCH]}]}),
        (MESSAGES, {"tools": [CLAUDE_SEARCH, CLAUDE_TOOL], "tool_choice": {"type": "tool", "name": "web_search"}}),
        (MESSAGES, {"tools": [CLAUDE_SEARCH], "tool_choice": {"type": "any"}}),
        (RESPONSES, {"tools": [{"type": "brand_new"}, SEARCH]}),
    ],
)
def test_what_a_request_insists_on_stays_and_is_refused(operation, members):
    head, _ = read(operation, members)
    assert head.server_tools
    assert not head.removed_tools


def test_an_allowed_tool_stays():
    head, sent = read(RESPONSES, {"tools": [SEARCH, {"type": "mcp"}]}, {"openai_web_search"})
    assert sent["tools"] == [SEARCH]
    assert (head.server_tools, head.removed_tools) == ({"openai_web_search"}, {"openai_mcp"})


def test_pictures_that_are_not_made_are_not_held_for():
    assert read(RESPONSES, {"tools": [{"type": "image_generation"}]})[0].text_only


TOOL = st.sampled_from(
    [FUNCTION, SEARCH, {"type": "mcp"}, {"type": "custom", "name": "c"}, {"type": "code_interpreter"}]
)


@given(
    tools=st.lists(TOOL | st.builds(lambda inner: {"type": "namespace", "tools": inner}, st.lists(TOOL)), max_size=6),
    allowed=st.sets(st.sampled_from([tool.id for tool in SERVER_TOOLS])),
)
def test_nothing_that_is_not_allowed_is_sent_and_nothing_else_is_lost(tools, allowed):
    head, sent = read(RESPONSES, {"tools": tools}, allowed)
    again, unchanged = read(RESPONSES, {"tools": sent.get("tools", [])}, allowed)
    assert again.server_tools <= allowed
    assert not again.removed_tools
    assert unchanged.get("tools", []) == sent.get("tools", [])
    assert _flat(sent.get("tools", [])) == [tool for tool in _flat(tools) if tool in _flat(sent.get("tools", []))]
    assert head.server_tools == again.server_tools


def _flat(tools):
    return [one for tool in tools for one in (tool["tools"] if tool["type"] == "namespace" else [tool])]
