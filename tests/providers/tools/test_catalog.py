from __future__ import annotations

import pytest

from metering.usage import COUNTS
from providers.dialect import Head, Refusal
from providers.tools.catalog import DEFAULT_ALLOWED, PRICE_PAGES, SERVER_TOOLS, TOOLS_BY_ID, UNKNOWN, refuse_tools


def head(*tools):
    return Head(model="m", server_tools=frozenset(tools))


def test_the_table_is_consistent():
    assert len(TOOLS_BY_ID) == len(SERVER_TOOLS)
    selectors = [(tool.family, name) for tool in SERVER_TOOLS for name in (*tool.types, *tool.members)]
    assert len(selectors) == len(set(selectors))
    for tool in SERVER_TOOLS:
        assert tool.source.startswith("https://")
        assert tool.keeps
        assert tool.unit is None or tool.unit in COUNTS
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


def test_no_tools_pass():
    refuse_tools(head(), frozenset())
