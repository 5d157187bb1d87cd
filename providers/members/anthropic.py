"""The members of Anthropic's requests, and its betas.

From the SDK's types (``anthropic.types`` and ``anthropic.types.beta``: ``*_params.py``); the pages named in a reason
say what a member keeps. `tests/members` fails while the installed SDK has a member or a beta that is not here.
"""

from __future__ import annotations

import re
from typing import Final

from providers.members.decision import Decision, Member, Table, each, looked_into, passes

_SHAPES = "shapes the answer; keeps nothing and names nobody"
_CONTENT = "content of the request"
_SWITCHES = "says how the answer is sent"
_TOOLS = "definitions of tools; policy.server_tools decides about those that run at the provider"
_ACCOUNT = "names somebody, or another account, at the provider"
_OF_TOOLS = "of a tool that runs at the provider: policy.server_tools"
_HISTORY = "the conversation so far, as the provider gave it"

_OUTPUT = looked_into(_SHAPES, passes(_SHAPES, "effort", "format", "task_budget"))
_THINKING = looked_into(_SHAPES, passes(_SHAPES, "type", "budget_tokens", "display", "block_binding", "max_tokens"))

_THREAD: Final = Member(
    Decision.REFUSE,
    "Threads are kept at the provider, which is not served: resend the messages.",
    # The API's own code: the SDK's tool runner asks for a thread, and continues without one only on this code.
    code="thread_unsupported_request",
)

MESSAGES: Final[Table] = {
    "model": Member(Decision.MODEL, "the requested model"),
    **passes(_CONTENT, "messages", "system"),
    **passes(_SHAPES, "max_tokens", "stop_sequences", "temperature", "top_k", "top_p", "tool_choice"),
    **passes(_SHAPES, "context_management", "compaction", "prefill", "output_format"),
    "cache_control": Member(
        Decision.POLICY,
        "the prompt is read again from the provider's memory, for minutes; removed with policy.cache_isolation = none",
        decided="2026-11-28",
    ),
    "stream": Member(Decision.PASS, _SWITCHES),
    "thinking": _THINKING,
    "output_config": _OUTPUT,
    "tools": Member(Decision.PASS, _TOOLS),
    "metadata": Member(
        Decision.PASS,
        "identifies a user, and nothing else",
        {"user_id": Member(Decision.PSEUDONYM, "identifies a user; the pseudonym replaces it")},
        closed=True,
    ),
    "service_tier": Member(Decision.PRICED, "at most the standard tier can be requested"),
    "speed": Member(Decision.PRICED, "a speed without a price is refused"),
    "inference_geo": Member(Decision.REGION, "set to the caller's region, or refused"),
    "fallbacks": Member(Decision.MODEL, "every model that may answer instead"),
    "mcp_servers": Member(Decision.POLICY, "policy.server_tools"),
    "diagnostics": looked_into(
        "https://platform.claude.com/docs/en/build-with-claude/prompt-caching",
        {"previous_message_id": Member(Decision.STRIP, "names an earlier answer of the operator's account")},
    ),
    **each(Decision.STRIP, _ACCOUNT, "user_profile_id", "billing_policy", "fallback_credit_token", "tags"),
    **each(Decision.STRIP, _ACCOUNT, "workspace_id", "user", "session_id", "trace"),
    **each(Decision.STRIP, "a header of this API, as other clouds take it", "anthropic_beta", "anthropic_version"),
    "container": Member(
        Decision.REFUSE,
        "Containers keep files at the provider, which is not served: run the code in the client.",
    ),
    "thread": _THREAD,
}  # fmt: skip
COUNT_TOKENS: Final[Table] = MESSAGES

NESTED: Final[Table] = {
    **passes(
        _CONTENT,
        *("text", "content", "data", "title", "context", "source", "cited_text", "document_title", "input", "url"),
        *("instructions", "lines", "new_lines", "old_lines", "stdout", "stderr", "value", "edits", "path"),
        *("definition", "state_changes", "tabs", "tab_id", "total_lines", "num_lines", "page_age", "retrieved_at"),
        *("size_bytes", "file_type", "media_type", "download_id", "is_file_update", "transformations"),
    ),
    **passes(
        _HISTORY,
        *("thinking", "signature", "citations", "caller", "tool_id", "tool_use_id", "is_error", "return_code"),
        *("error", "error_code", "error_message", "encrypted_content", "encrypted_index", "encrypted_stdout"),
        *("encrypted_text", "stop_reason", "from", "to", "remaining", "total", "token", "category", "role", "type"),
        *("id", "tool_name", "server_name", "toolset_name", "tool_references", "tool_reference", "cursor_position"),
        *("document_index", "end_block_index", "end_char_index", "end_page_number", "search_result_index"),
        *("start_block_index", "start_char_index", "start_page_number", "start_line", "new_start", "old_start"),
        *("oversized_image", "resized_from", "resized_to", "image_transformations", "active", "clear_at"),
        *("tool_changes", "tool", "url_sources", "client_tool_results", "server_tool_results", "use_cache"),
    ),
    **passes(
        "the definition of a tool",
        *("name", "description", "input_schema", "input_examples", "properties", "required", "strict", "schema"),
        *("allowed_callers", "defer_loading", "eager_input_streaming", "configs", "default_config", "enabled"),
        *("display_height_px", "display_number", "display_width_px", "enable_zoom", "max_characters"),
        *("close_tab", "file_upload", "find", "form_input", "get_page_text", "hover", "javascript_exec"),
        *("double_click", "hold_key", "key", "left_click", "left_click_drag", "left_mouse_down", "left_mouse_up"),
        *("list_tabs", "middle_click", "mouse_move", "navigate", "new_tab", "read_console", "read_network"),
        *("read_page", "right_click", "screenshot", "scroll", "scroll_to", "switch_tab", "triple_click", "wait"),
        *("zoom", "user_input", "disable_parallel_tool_use", "tools"),
    ),
    **passes(
        _SHAPES,
        *("effort", "format", "task_budget", "budget_tokens", "display", "ttl", "mode"),
        *("clear_at_least", "clear_tool_inputs", "exclude_tools", "keep", "trigger", "pause_after_compaction"),
        *("prefix_mismatch_behavior", "response_inclusion", "block_binding", "max_tokens", "output_config", "speed"),
    ),
    **each(
        Decision.POLICY, "where the cache ends; removed with policy.cache_isolation = none", "cache_control", "caching"
    ),
    **each(
        Decision.POLICY,
        _OF_TOOLS,
        *("allowed_domains", "blocked_domains", "max_uses", "max_content_tokens", "user_location", "city"),
        *("country", "region", "timezone", "mcp_server_name", "authorization_token", "tool_configuration"),
        *("allowed_tools", "skills", "skill_id", "version"),
    ),
    "file_id": Member(Decision.REFUSE, "names a file kept at the provider"),
    "model": Member(Decision.MODEL, "a further model"),
    "bill_to": Member(Decision.STRIP, _ACCOUNT),
}
"""Nested members: those of messages, blocks and tools. The readers of messages and tools carry out the refusals."""

_FILES = "A file id names a file kept at the provider, which is not served: send the file's data instead."
_MCP = "The provider's MCP connector is switched off: run the MCP server's tools in the client."
_ACCOUNTS = "This beta acts on the operator's account at the provider: leave it out of anthropic-beta."

BETAS: Final[Table] = {
    **passes(
        _SHAPES,
        *("computer-use", "output-128k", "output-300k", "dev-full-thinking", "interleaved-thinking", "context-1m"),
        *("context-management", "model-context-window-exceeded", "fast-mode", "advisor-tool", "compact"),
        *("thinking-token-count", "server-side-fallback", "mid-conversation-tool-changes", "structured-outputs"),
        *("task-budgets", "thinking-display-updates", "mid-conversation-output-config", "thinking-binding-controls"),
        *("mid-conversation-system-clear-at", "inline-tools", "prompt-caching", "prompt-caching-scope", "pdfs"),
        *("token-counting", "token-efficient-tools", "extended-cache-ttl", "max-tokens-3-5-sonnet", "effort"),
        *("fine-grained-tool-streaming", "web-fetch", "web-search", "tool-search-tool", "advanced-tool-use"),
        *("tool-examples", "claude-code", "oauth", "redact-thinking", "adaptive-thinking", "cache-diagnosis"),
        *("research-preview", "search-results", "memory-tool", "context-hint", "afk-mode", "summarize-connector-text"),
    ),
    **each(Decision.STRIP, _ACCOUNT, "user-profiles", "user-profiles-billing", "fallback-credit"),
    **each(Decision.REFUSE, _FILES, "files-api", "efs", "files"),
    **each(Decision.REFUSE, _MCP, "mcp-client", "mcp-tunnels"),
    "skills": Member(
        Decision.REFUSE, "Skills are kept at the provider, which is not served: put their text into the prompt."
    ),
    "code-execution": Member(
        Decision.REFUSE, "Containers keep files at the provider, which is not served: run the code in the client."
    ),
    "message-batches": Member(
        Decision.REFUSE, "Batches are kept at the provider, which is not served: send single requests."
    ),
    "message-threads": _THREAD,
    "managed-agents": Member(
        Decision.REFUSE, "Agents that live at the provider are not served: run the agent in the client."
    ),
    **each(
        Decision.REFUSE,
        "Memory kept at the provider is not served: use the memory tool in the client.",
        *("agent-memory", "dreaming"),
    ),
    **each(
        Decision.REFUSE,
        _ACCOUNTS,
        *("ce-plugins", "spend-limit-reads", "telemetry-destinations", "webhooks", "admin-user-sign-out"),
        *("analytics-usage-cost", "experimental-claude-tag", "ce-user-management", "ce-claude-code-managed-settings"),
        *("google-managed-data-controls",),
    ),
}
"""Decisions by a beta's name, without its date."""

ALLOWED_WITH: Final = {
    "code-execution": "anthropic_code_execution",
    "mcp-client": "anthropic_mcp",
    "mcp-tunnels": "anthropic_mcp",
}
"""Refused beta -> the server-side tool with which it is accepted, if policy allows that tool."""

_DATED: Final = re.compile(r"([a-z0-9-]*?)-?20\d\d-?\d\d-?\d\d")


def beta_name(beta: str) -> str:
    """A beta's name without its date, in the spelling of `BETAS`."""
    spelled = beta.strip().lower().replace("_", "-")
    dated = _DATED.fullmatch(spelled)
    return spelled if dated is None else dated[1]


KINDS: Final[Table] = {
    **passes(
        "a kind of part, item, call, result or tool that the client runs",
        *("adaptive", "advisor_redacted_result", "advisor_result", "advisor_tool_result"),
        *("advisor_tool_result_error", "all", "anthropic", "any", "approximate", "auto", "base64", "bash_20241022"),
        *("bash_20250124", "bash_code_execution_output", "bash_code_execution_result"),
        *("bash_code_execution_tool_result", "bash_code_execution_tool_result_error", "between_tools"),
        *("billing_policy", "browser_state", "browser_toolset_20260801", "char_location", "clear_thinking_20251015"),
        *("clear_tool_uses_20250919", "code_execution_output", "code_execution_result", "code_execution_tool_result"),
        *("code_execution_tool_result_error", "compact_20260112", "compaction", "computer_20241022"),
        *("computer_20250124", "computer_20251124", "computer_toolset_20260801", "content", "content_block_location"),
        *("continue", "create", "custom", "direct", "disabled", "document", "download_completed", "download_failed"),
        *("download_started", "enabled", "encrypted_code_execution_result", "ephemeral", "except", "fallback"),
        *("image", "input_tokens", "json_schema", "mcp_tool_listing", "mcp_tool_reference", "mcp_tool_result"),
        *("mcp_tool_use", "mcp_toolset_reference", "memory_20250818", "none", "object", "only", "page_location"),
        *("redacted_thinking", "search_result", "search_result_location", "server_tool_use", "summarize"),
        *("tab_opened", "text", "text_editor_20241022", "text_editor_20250124", "text_editor_20250429"),
        *("text_editor_20250728", "text_editor_code_execution_create_result"),
        *("text_editor_code_execution_str_replace_result", "text_editor_code_execution_tool_result"),
        *("text_editor_code_execution_tool_result_error", "text_editor_code_execution_view_result", "thinking"),
        *("thinking_turns", "tokens", "tool", "tool_addition", "tool_definition", "tool_reference", "tool_removal"),
        *("tool_result", "tool_search_tool_result", "tool_search_tool_result_error"),
        *("tool_search_tool_search_result", "tool_use", "tool_uses", "url", "web_fetch_result"),
        *("web_fetch_tool_result", "web_fetch_tool_result_error", "web_search_result", "web_search_result_location"),
        *("web_search_tool_result", "web_search_tool_result_error"),
    ),
    **each(
        Decision.POLICY,
        "a tool that runs at the provider: policy.server_tools",
        *("advisor_20260301", "code_execution_20250522", "code_execution_20250825", "code_execution_20260120"),
        *("code_execution_20260521", "mcp_toolset", "tool_search_tool_bm25", "tool_search_tool_bm25_20251119"),
        *("tool_search_tool_regex", "tool_search_tool_regex_20251119", "web_fetch_20250910", "web_fetch_20260209"),
        *("web_fetch_20260309", "web_fetch_20260318", "web_search_20250305", "web_search_20260209"),
        *("web_search_20260318",),
    ),
    **each(
        Decision.REFUSE,
        "kept at the provider",
        *("container_upload", "file"),
    ),
}
"""Values of ``type``, at any depth."""

EVENTS: Final[Table] = passes(
    "an event of a stream: passes, and is read by its scanner",
    *("content_block_delta", "content_block_start", "content_block_stop", "message_delta", "message_start"),
    *("message_stop",),
)
"""Events of a stream."""

USAGE: Final[Table] = passes(
    "a count or a label of the usage that an answer states: read, or the record is marked as unpriced",
    *("cache_creation.ephemeral_1h_input_tokens", "cache_creation.ephemeral_5m_input_tokens"),
    *("cache_creation_input_tokens", "cache_read_input_tokens", "fallback_credit.status.reason"),
    *("fallback_credit.status.remove_to_redeem", "fallback_credit.status.type", "inference_geo", "input_tokens"),
    *("iterations.cache_creation.ephemeral_1h_input_tokens", "iterations.cache_creation.ephemeral_5m_input_tokens"),
    *("iterations.cache_creation_input_tokens", "iterations.cache_read_input_tokens", "iterations.input_tokens"),
    *("iterations.model", "iterations.output_tokens", "iterations.type", "output_tokens"),
    *("output_tokens_details.thinking_tokens", "server_tool_use.web_fetch_requests"),
    *("server_tool_use.web_search_requests", "service_tier", "speed"),
)
"""Members of the usage that an answer states, by their path."""
