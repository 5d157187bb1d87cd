from __future__ import annotations

import pytest

from metering.usage import COUNTS, PARTS
from providers.dialect import Family, Head, Operation, Refusal
from providers.tools.catalog import (
    DEFAULT_ALLOWED,
    PRICE_PAGES,
    SERVER_TOOLS,
    TOOLS_BY_ID,
    UNKNOWN,
    bills,
    refuse_tools,
    refuse_uncounted,
)


def head(*tools):
    return Head(model="m", server_tools=frozenset(tools))


def test_the_table_is_consistent():
    assert len(TOOLS_BY_ID) == len(SERVER_TOOLS)
    selectors = [(tool.family, name) for tool in SERVER_TOOLS for name in (*tool.types, *tool.members)]
    assert len(selectors) == len(set(selectors))
    for tool in SERVER_TOOLS:
        assert tool.source.startswith("https://")
        assert tool.keeps
        assert tool.unit is None or tool.unit in {*COUNTS, *PARTS}
        assert tool.counted or (tool.unit is None and tool.usd_per_1000 is None)
        assert tool.usd_per_1000 is None or (tool.usd_per_1000 >= 0 and tool.unit is not None)
        assert tool.family in PRICE_PAGES


def test_only_a_tool_that_is_said_to_keep_nothing_is_allowed_by_default():
    assert {tool.keeps for tool in SERVER_TOOLS if tool.id in DEFAULT_ALLOWED} == {"nothing beyond the answer"}


@pytest.mark.parametrize("tool", sorted(TOOLS_BY_ID))
def test_a_tool_is_refused_by_name_unless_policy_allows_it(tool):
    refuse_tools(head(tool), frozenset((tool,)))
    with pytest.raises(Refusal) as refused:
        refuse_tools(head(tool), frozenset())

    assert (refused.value.code, refused.value.param) == ("privacy_unsupported", "tools")
    assert tool in refused.value.message


def test_an_unknown_tool_is_refused_whatever_policy_says():
    with pytest.raises(Refusal) as refused:
        refuse_tools(head(UNKNOWN), frozenset((UNKNOWN,)))

    assert refused.value.code == "unsupported_feature"


def test_one_tool_that_is_not_allowed_is_enough():
    with pytest.raises(Refusal) as refused:
        refuse_tools(head("anthropic_web_search", "anthropic_mcp"), DEFAULT_ALLOWED)

    assert "anthropic_mcp" in refused.value.message


UNCOUNTED = {
    "openai_image_generation",
    "openai_programmatic_tool_calling",
    "openrouter_plugins",
    "xai_live_search",
    "groq_compound",
    "qwen_search",
    "gemini_partner_search",
}


@pytest.mark.parametrize("operation", list(Operation))
@pytest.mark.parametrize("tool", sorted(TOOLS_BY_ID))
def test_a_tool_whose_fee_no_answer_counts_is_refused_by_name(tool, operation):
    unit = TOOLS_BY_ID[tool].unit
    in_chat = operation in (Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS)
    counted = tool not in UNCOUNTED and (not in_chat or unit is None or tool == "openrouter_web_search")
    assert bills(tool, operation) is counted
    if counted:
        refuse_uncounted((tool,), operation)
        return
    with pytest.raises(Refusal) as refused:
        refuse_uncounted((tool, *UNCOUNTED), operation)
    assert (refused.value.code, refused.value.param) == ("privacy_unsupported", "tools")
    assert any(name in refused.value.message for name in {tool, *UNCOUNTED})


def test_two_tools_of_two_prices_have_two_units():
    units = {tool.id: tool.unit for tool in SERVER_TOOLS if tool.family is Family.OPENAI and tool.unit}
    assert units["openai_web_search"] != units["openai_web_search_preview"] != units["openai_file_search"]
    assert TOOLS_BY_ID["gemini_google_maps"].unit != TOOLS_BY_ID["gemini_google_search"].unit


def test_no_tools_pass():
    refuse_tools(head(), frozenset())
