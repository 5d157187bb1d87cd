"""Tools that run at the provider: a closed table of what switches them on, what they keep, and what they cost.

Rules that everything here obeys:

1. A tool is served only if it is listed here, priced by the operator and allowed by policy. A tool that is
   neither listed nor known to run on the client is `UNKNOWN`, and refused.
2. ``by_default`` is true only if the provider's own page says that the tool keeps nothing beyond
   the request. If the page does not say, or was not found, the tool counts as one that keeps data.
3. Nothing here quotes the request: ids and messages are fixed texts.
4. The fee of a tool, beyond its tokens, must be counted in the answers of the operation. If it is not, the tool is
   refused, whatever the policy says (`bills`).

Prices are list prices in US dollars for 1,000 calls (`PRICE_PAGES`), as a starting point for the
catalog; tokens that a tool adds are billed at the model's rates by the provider and need no row here.
If a provider has several ways to count, the higher price is listed: Google's search is priced by the prompt
for older models (35) and by the query for newer ones (14), OpenAI's containers by the session.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final, Literal

from providers.dialect import Family, Head, Operation, Refusal

UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class ServerTool:
    """One tool that runs at the provider.

    Attributes:
        id: The closed name, which may be logged, labelled and used in policy.
        types: Its names in ``tools``: OpenAI's and Anthropic's ``type``, Gemini's member name.
        dated: ``types`` may be followed by a date (``web_search_20250305``, ``..._2025_08_26``).
        members: Top-level members that switch it on instead.
        keeps: What the provider keeps after the answer, as far as its pages say.
        by_default: Allowed without being named in the policy.
        unit: The count, or part of one, that a call raises (`metering.usage`); None if a call costs only the tokens
            that it adds.
        counted: False if it costs something that the answers do not state, or whose price is not published.
        in_chat: Chat Completions state its calls too; for most tools only the Responses API does.
        usd_per_1000: List price of 1,000 calls, or None if none is public.
        source: The page that says what is kept.
    """

    id: str
    family: Family
    types: tuple[str, ...]
    keeps: str
    source: str
    dated: bool = False
    members: tuple[str, ...] = ()
    by_default: bool = False
    unit: Literal["searches", "preview_searches", "file_searches", "map_searches", "fetches", "code_runs"] | None = None
    counted: bool = True
    in_chat: bool = False
    usd_per_1000: Decimal | None = None


_OPENAI_DATA = "https://developers.openai.com/api/docs/guides/your-data"
_CLAUDE_DATA = "https://platform.claude.com/docs/en/manage-claude/api-and-data-retention"
_GEMINI_DATA = "https://ai.google.dev/gemini-api/docs/zdr"
_UNSTATED = "unstated"

PRICE_PAGES: Final = {
    Family.OPENAI: "https://developers.openai.com/api/docs/pricing",
    Family.ANTHROPIC: "https://platform.claude.com/docs/en/about-claude/pricing",
    Family.GOOGLE: "https://ai.google.dev/gemini-api/docs/pricing",
}

SERVER_TOOLS: Final[tuple[ServerTool, ...]] = (
    ServerTool(
        "openai_web_search",
        Family.OPENAI,
        ("web_search",),
        _UNSTATED,
        _OPENAI_DATA,
        dated=True,
        members=("web_search_options",),
        unit="searches",
        usd_per_1000=Decimal(10),
    ),
    ServerTool(
        "openai_web_search_preview",
        Family.OPENAI,
        ("web_search_preview",),
        _UNSTATED,
        _OPENAI_DATA,
        dated=True,
        unit="preview_searches",
        usd_per_1000=Decimal(25),
    ),
    ServerTool(
        "openai_file_search",
        Family.OPENAI,
        ("file_search",),
        "the searched files, until they are deleted",
        _OPENAI_DATA,
        unit="file_searches",
        usd_per_1000=Decimal("2.5"),
    ),
    ServerTool(
        "openai_code_interpreter",
        Family.OPENAI,
        ("code_interpreter",),
        "the container and its files, until 20 minutes without use",
        _OPENAI_DATA,
        unit="code_runs",
        usd_per_1000=Decimal(30),
    ),
    ServerTool(
        "openai_shell",
        Family.OPENAI,
        (),
        "the container and its files, until 20 minutes without use",
        _OPENAI_DATA,
        unit="code_runs",
        usd_per_1000=Decimal(30),
    ),
    ServerTool("openai_image_generation", Family.OPENAI, ("image_generation",), _UNSTATED, _OPENAI_DATA, counted=False),
    ServerTool("openai_mcp", Family.OPENAI, ("mcp",), "whatever the MCP server keeps", _OPENAI_DATA),
    ServerTool(
        "openai_programmatic_tool_calling",
        Family.OPENAI,
        ("programmatic_tool_calling",),
        _UNSTATED,
        _OPENAI_DATA,
        counted=False,
    ),
    ServerTool("openai_tool_search", Family.OPENAI, ("tool_search",), _UNSTATED, _OPENAI_DATA),
    ServerTool(
        "openrouter_plugins",
        Family.OPENAI,
        (),
        _UNSTATED,
        "https://openrouter.ai/docs/features/web-search",
        members=("plugins",),
        counted=False,
    ),
    ServerTool(
        "openrouter_web_search",
        Family.OPENAI,
        ("openrouter:web_search",),
        _UNSTATED,
        "https://openrouter.ai/docs/features/web-search",
        unit="searches",
        in_chat=True,
    ),
    ServerTool(
        "xai_live_search",
        Family.OPENAI,
        ("live_search", "x_search"),
        _UNSTATED,
        "https://docs.x.ai/docs/guides/live-search",
        members=("search_parameters",),
        counted=False,
    ),
    ServerTool(
        "groq_compound",
        Family.OPENAI,
        ("browser_search",),
        _UNSTATED,
        "https://console.groq.com/docs/compound",
        members=("compound_custom", "search_settings"),
        counted=False,
    ),
    ServerTool(
        "qwen_search",
        Family.OPENAI,
        (),
        _UNSTATED,
        "https://www.alibabacloud.com/help/en/model-studio",
        members=("enable_search",),
        counted=False,
    ),
    ServerTool(
        "anthropic_web_search",
        Family.ANTHROPIC,
        ("web_search_20250305",),
        "nothing beyond the answer",
        _CLAUDE_DATA,
        by_default=True,
        unit="searches",
        usd_per_1000=Decimal(10),
    ),
    ServerTool(
        "anthropic_web_search_dynamic",
        Family.ANTHROPIC,
        ("web_search",),
        "what its filter writes in a code container",
        _CLAUDE_DATA,
        dated=True,
        unit="searches",
        usd_per_1000=Decimal(10),
    ),
    ServerTool(
        "anthropic_web_fetch",
        Family.ANTHROPIC,
        ("web_fetch_20250910",),
        "nothing at the provider; the fetched site may keep the address",
        _CLAUDE_DATA,
        unit="fetches",
        usd_per_1000=Decimal(0),
    ),
    ServerTool(
        "anthropic_web_fetch_dynamic",
        Family.ANTHROPIC,
        ("web_fetch",),
        "what its filter writes in a code container",
        _CLAUDE_DATA,
        dated=True,
        unit="fetches",
        usd_per_1000=Decimal(0),
    ),
    ServerTool(
        "anthropic_code_execution",
        Family.ANTHROPIC,
        ("code_execution",),
        "the container and its files, up to 30 days",
        _CLAUDE_DATA,
        dated=True,
        unit="code_runs",
    ),
    ServerTool(
        "anthropic_tool_search",
        Family.ANTHROPIC,
        ("tool_search_tool_bm25", "tool_search_tool_regex"),
        "the names, descriptions and arguments of the tools",
        _CLAUDE_DATA,
        dated=True,
    ),
    ServerTool("anthropic_advisor", Family.ANTHROPIC, ("advisor",), _UNSTATED, _CLAUDE_DATA, dated=True),
    ServerTool(
        "anthropic_mcp",
        Family.ANTHROPIC,
        ("mcp_toolset",),
        "whatever the MCP server keeps",
        _CLAUDE_DATA,
        dated=True,
        members=("mcp_servers",),
    ),
    ServerTool(
        "gemini_google_search",
        Family.GOOGLE,
        ("google_search", "google_search_retrieval"),
        "prompts, context and answers, 30 days",
        _GEMINI_DATA,
        unit="searches",
        usd_per_1000=Decimal(35),
    ),
    ServerTool(
        "gemini_google_maps",
        Family.GOOGLE,
        ("google_maps",),
        "prompts, context and answers, 30 days",
        _GEMINI_DATA,
        unit="map_searches",
        usd_per_1000=Decimal(25),
    ),
    ServerTool(
        "gemini_url_context",
        Family.GOOGLE,
        ("url_context",),
        _UNSTATED,
        _GEMINI_DATA,
    ),
    ServerTool(
        "gemini_code_execution",
        Family.GOOGLE,
        ("code_execution",),
        _UNSTATED,
        _GEMINI_DATA,
    ),
    ServerTool(
        "gemini_file_search",
        Family.GOOGLE,
        ("file_search",),
        "the searched files, until they are deleted",
        _GEMINI_DATA,
    ),
    ServerTool("gemini_mcp", Family.GOOGLE, ("mcp_servers",), "whatever the MCP server keeps", _GEMINI_DATA),
    ServerTool(
        "gemini_partner_search",
        Family.GOOGLE,
        ("enterprise_web_search", "retrieval", "parallel_ai_search", "exa_ai_search"),
        _UNSTATED,
        _GEMINI_DATA,
        counted=False,
    ),
)

_CHAT: Final = frozenset((Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS))

TOOLS_BY_ID: Final = {tool.id: tool for tool in SERVER_TOOLS}
DEFAULT_ALLOWED: Final = frozenset(tool.id for tool in SERVER_TOOLS if tool.by_default)

_UNKNOWN_TOOL: Final = "A tool of this request is not known here: remove it, or define it as a function."
_REFUSED: Final = {
    tool.id: (
        "A tool of this request runs at the provider and is switched off here "
        f"({tool.id}): remove it, or run it in the client as a function."
    )
    for tool in SERVER_TOOLS
}


_UNCOUNTED: Final = {
    tool.id: (
        "A tool of this request costs something that the answer would not count "
        f"({tool.id}): remove it, or run it in the client as a function."
    )
    for tool in SERVER_TOOLS
}


def bills(tool: str, operation: Operation) -> bool:
    """Whether the answers of an operation count everything that a tool costs: its tokens, and its calls if billed."""
    known = TOOLS_BY_ID[tool]
    return known.counted and (known.unit is None or known.in_chat or operation not in _CHAT)


def refuse_uncounted(tools: Iterable[str], operation: Operation) -> None:
    """Raise `Refusal` for the first tool, in order of ids, whose fee the answers of ``operation`` do not count."""
    uncounted = sorted(tool for tool in tools if not bills(tool, operation))
    if uncounted:
        raise Refusal("privacy_unsupported", _UNCOUNTED[uncounted[0]], "tools")


def refuse_tools(head: Head, allowed: frozenset[str]) -> None:
    """Raise `Refusal` for the first tool, in order of ids, that policy does not allow.

    Args:
        head: The request's head.
        allowed: Ids that may be used: normally `DEFAULT_ALLOWED` and those that the operator added, each
            with a price row. `UNKNOWN` in it has no effect.
    """
    refused = head.server_tools - allowed
    if UNKNOWN in head.server_tools:
        raise Refusal("unsupported_feature", _UNKNOWN_TOOL, "tools")
    if refused:
        raise Refusal("privacy_unsupported", _REFUSED[min(refused)], "tools")
