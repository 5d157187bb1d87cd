from __future__ import annotations

import json
from typing import get_args, get_type_hints

import msgspec
import pytest
from anthropic.types.beta import BetaToolUnionParam
from google.genai.types import ToolDict
from openai.types.responses import ToolParam

from providers.dialect import Family
from providers.steps import at_once
from providers.tools.catalog import TOOLS_BY_ID, UNKNOWN
from providers.tools.selection import tool_in_definition, tools_in_gemini, tools_in_list


def raw(value):
    return msgspec.Raw(json.dumps(value).encode())


def types_of(union):
    """The literal values of ``type`` in an SDK's union of tools."""
    found = set()
    for tool in get_args(union):
        hint = get_type_hints(tool, include_extras=False).get("type")
        found |= {value for value in _literals(hint) if isinstance(value, str)}
    return found


def _literals(hint):
    if hint is None:
        return
    for argument in get_args(hint):
        if isinstance(argument, str):
            yield argument
        else:
            yield from _literals(argument)


def test_every_tool_of_the_openai_sdk_is_known():
    found = {name: at_once(tools_in_list(Family.OPENAI, raw([{"type": name}]))) for name in types_of(ToolParam)}

    assert len(found) > 12
    assert [name for name, tools in found.items() if UNKNOWN in tools] == []
    client = {name for name, tools in found.items() if not tools}
    assert client == {
        "function",
        "custom",
        "local_shell",
        "apply_patch",
        "computer",
        "computer_use_preview",
        "namespace",
        "shell",
    }


def test_every_tool_of_the_anthropic_sdk_is_known():
    found = {
        name: at_once(tools_in_list(Family.ANTHROPIC, raw([{"type": name}]))) for name in types_of(BetaToolUnionParam)
    }

    assert len(found) > 20
    assert [name for name, tools in found.items() if UNKNOWN in tools] == []
    client = {name.rstrip("0123456789") for name, tools in found.items() if not tools}
    assert client == {
        "custom",
        "bash_",
        "text_editor_",
        "memory_",
        "computer_",
        "computer_toolset_",
        "browser_toolset_",
    }


def test_every_tool_of_the_google_sdk_is_known():
    names = set(ToolDict.__annotations__)
    found = {name: at_once(tools_in_gemini(raw([{name: {}}]))) for name in names}

    assert len(found) > 8
    assert [name for name, tools in found.items() if UNKNOWN in tools] == []
    assert {name for name, tools in found.items() if not tools} == {"function_declarations", "computer_use"}


@pytest.mark.parametrize(
    ("family", "tool", "ids"),
    [
        (Family.OPENAI, {"type": "web_search"}, {"openai_web_search"}),
        (Family.OPENAI, {"type": "web_search_2025_08_26"}, {"openai_web_search"}),
        (Family.OPENAI, {"type": "web_search_preview_2025_03_11"}, {"openai_web_search_preview"}),
        (Family.OPENAI, {"type": "mcp", "server_url": "https://example.org"}, {"openai_mcp"}),
        (Family.OPENAI, {"type": "file_search_20300101"}, {UNKNOWN}),
        (Family.OPENAI, {"type": "shell"}, set()),
        (Family.OPENAI, {"type": "shell", "environment": {"type": "local"}}, set()),
        (Family.OPENAI, {"type": "shell", "environment": {"type": "container_auto"}}, {"openai_shell"}),
        (Family.OPENAI, {"type": "shell", "environment": {"type": "container_reference"}}, {"openai_shell"}),
        (Family.OPENAI, {"type": "shell", "environment": 5}, {"openai_shell"}),
        (Family.OPENAI, {"type": "tool_search"}, {"openai_tool_search"}),
        (Family.OPENAI, {"type": "tool_search", "execution": "client"}, set()),
        (Family.OPENAI, {"type": "namespace", "tools": [{"type": "function"}]}, set()),
        (Family.OPENAI, {"type": "namespace", "tools": [{"type": "mcp"}]}, {"openai_mcp"}),
        (Family.OPENAI, {"type": "namespace", "tools": [{"type": "namespace"}]}, {UNKNOWN}),
        (Family.OPENAI, {"function": {"name": "f"}}, set()),
        (Family.OPENAI, {"type": None}, set()),
        (Family.OPENAI, {"type": "new_thing"}, {UNKNOWN}),
        (Family.OPENAI, {"type": 5}, {UNKNOWN}),
        (Family.OPENAI, {"type": "x" * 500}, {UNKNOWN}),
        (Family.OPENAI, {"type": "builtin_function", "function": {"name": "$web_search"}}, {UNKNOWN}),
        (Family.ANTHROPIC, {"type": "web_search_20250305"}, {"anthropic_web_search"}),
        (Family.ANTHROPIC, {"type": "web_search_20260209"}, {"anthropic_web_search_dynamic"}),
        (Family.ANTHROPIC, {"type": "web_search_20300101"}, {"anthropic_web_search_dynamic"}),
        (Family.ANTHROPIC, {"type": "web_search"}, {"anthropic_web_search_dynamic"}),
        (Family.ANTHROPIC, {"type": "text_editor_20300101"}, set()),
        (Family.ANTHROPIC, {"type": "computer_20300101"}, set()),
        (Family.ANTHROPIC, {"type": "function"}, {UNKNOWN}),
    ],
)
def test_a_tool_is_classified_by_its_type(family, tool, ids):
    assert at_once(tools_in_list(family, raw([{"name": "f"}, tool]))) == ids
    assert at_once(tool_in_definition(family, raw(tool))) == ids


def test_a_type_is_known_however_it_is_escaped():
    assert at_once(tools_in_list(Family.OPENAI, msgspec.Raw(b'[{"t\\u0079pe":"\\u006dcp"}]'))) == {"openai_mcp"}


def test_a_schema_that_speaks_of_tools_selects_none():
    tool = {"type": "function", "parameters": {"type": "web_search", "tools": [{"type": "mcp"}]}}

    assert at_once(tools_in_list(Family.OPENAI, raw([tool]))) == set()


@pytest.mark.parametrize("value", [5, "text", {"type": "web_search"}, [5], [[]]])
def test_a_list_that_is_none_is_unknown(value):
    assert at_once(tools_in_list(Family.OPENAI, raw(value))) == {UNKNOWN}


@pytest.mark.parametrize("value", [None, []])
def test_no_tools_are_no_tools(value):
    assert at_once(tools_in_list(Family.OPENAI, raw(value))) == set()
    assert at_once(tools_in_gemini(raw(value))) == set()
    assert at_once(tools_in_list(Family.OPENAI, None)) == at_once(tools_in_gemini(None)) == set()


@pytest.mark.parametrize(
    ("tools", "ids"),
    [
        ([{"googleSearch": {}}], {"gemini_google_search"}),
        ([{"google_search": {}}], {"gemini_google_search"}),
        ({"google_search_retrieval": {}}, {"gemini_google_search"}),
        ([{"functionDeclarations": [], "codeExecution": {}}], {"gemini_code_execution"}),
        ([{"googleSearch": None, "computerUse": {}}], set()),
        ([{"type": "google_search"}], {UNKNOWN}),
        ([5], {UNKNOWN}),
        ("odd", {UNKNOWN}),
        ([{}], set()),
    ],
)
def test_gemini_names_its_tools_as_members(tools, ids):
    assert at_once(tools_in_gemini(raw(tools))) == ids


def test_every_id_is_in_the_table():
    assert UNKNOWN not in TOOLS_BY_ID
