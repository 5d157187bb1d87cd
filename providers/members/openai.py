"""The members of requests to OpenAI and to compatible hosts.

From the SDK's types (``openai.types``: ``*_params.py``); the pages named in a reason say what a member keeps.
`tests/members` fails while the installed SDK has a member that is not here.
"""

from __future__ import annotations

from typing import Final

from providers.members.decision import Decision, Member, Table, each, looked_into, passes

_CACHING = "https://developers.openai.com/api/docs/guides/prompt-caching"
_SHAPES = "shapes the answer; keeps nothing and names nobody"
_CONTENT = "content of the request"
_SWITCHES = "says how the answer is sent"
_TOOLS = "definitions of tools; policy.server_tools decides about those that run at the provider"
_WEB_SEARCH = Member(Decision.POLICY, "switches a search on: policy.server_tools")
_IDENTIFIES = "says who asks, or where: agents put installation ids, paths and git remotes there"

_COMMON: Final[Table] = {
    "model": Member(Decision.MODEL, "the requested model"),
    **passes(_SHAPES, "temperature", "top_p", "top_logprobs", "parallel_tool_calls", "verbosity"),
    "service_tier": Member(Decision.PRICED, "a tier without a price is refused"),
    **each(Decision.STRIP, _IDENTIFIES, "user", "metadata", "client_metadata"),
    "prompt_cache_key": Member(
        Decision.CACHE_KEY,
        f"distinguishes conversations, so that each finds its own cache; {_CACHING}",
        decided="2026-11-28",
    ),
    "safety_identifier": Member(Decision.PSEUDONYM, "identifies a user; the pseudonym replaces it"),
    "store": Member(Decision.POLICY, "set to false at hosts that know it, removed at others: nothing is stored"),
    "prompt_cache_retention": Member(
        Decision.POLICY,
        "longer than in the provider's memory only with policy.extended_prompt_cache, and if prompts may be kept for a "
        f"day; {_CACHING}",
        usual=(b'"in_memory"', b'"in-memory"', b"null"),
    ),
    "prompt_cache_options": looked_into(
        _CACHING,
        {
            **passes("where the cache ends; says explicit with policy.cache_isolation = none", "mode", "prewarm"),
            "ttl": Member(
                Decision.POLICY,
                "longer than 30 minutes only with policy.extended_prompt_cache, and if prompts may be kept for a day",
                usual=(b'"30m"', b"null"),
            ),
            "comparison_response_id": Member(Decision.STRIP, "names an earlier response of the operator's account"),
        },
    ),
    "moderation": looked_into(
        "the provider's own moderation, which keeps nothing and is free: https://developers.openai.com/api/docs/pricing",
        {
            "model": Member(
                Decision.MODEL,
                "Moderation by this model is not served here: name omni-moderation-latest, or leave out moderation.",
                usual=(b'"omni-moderation-latest"', b'"omni-moderation-2024-09-26"', b"null"),
                code="unsupported_feature",
            ),
            "policy": Member(Decision.PASS, _SHAPES),
        },
    ),
    "safeguards": Member(
        Decision.REFUSE,
        "Safeguards are kept in the provider's account, which is the operator's: leave out safeguards.",
    ),
    "access_programs": Member(
        Decision.REFUSE,
        "Access programs belong to the operator's account at the provider: leave out access_programs.",
    ),
}
_STREAM_OPTIONS = looked_into(_SWITCHES, passes(_SWITCHES, "include_usage", "include_obfuscation"))
_PENALTIES = passes(
    _SHAPES, "frequency_penalty", "presence_penalty", "logit_bias", "logprobs", "max_tokens", "n", "seed", "stop"
)

CHAT: Final[Table] = {
    **_COMMON,
    **_PENALTIES,
    **passes(_CONTENT, "messages", "prediction"),
    **passes(_SHAPES, "audio", "modalities", "function_call", "tool_choice", "response_format"),
    **passes(_SHAPES, "max_completion_tokens", "reasoning_effort"),
    **passes(_TOOLS, "tools", "functions"),
    "stream": Member(Decision.PASS, _SWITCHES),
    "stream_options": _STREAM_OPTIONS,
    "web_search_options": _WEB_SEARCH,
}

COMPLETIONS: Final[Table] = {
    **_COMMON,
    **_PENALTIES,
    **passes(_CONTENT, "prompt", "suffix"),
    **passes(_SHAPES, "best_of", "echo"),
    "stream": Member(Decision.PASS, _SWITCHES),
    "stream_options": _STREAM_OPTIONS,
}

EMBEDDINGS: Final[Table] = {
    **_COMMON,
    **passes(_CONTENT, "input"),
    **passes(_SHAPES, "dimensions", "encoding_format"),
}

_RESPONSES_COMMON: Final[Table] = {
    **_COMMON,
    **passes(_CONTENT, "input", "instructions"),
    **passes(_SHAPES, "tool_choice", "truncation", "personality"),
    "reasoning": looked_into(
        _SHAPES, passes(_SHAPES, "effort", "summary", "generate_summary", "mode", "context", "context_compression")
    ),
    "text": looked_into("the form of the answer", passes(_SHAPES, "format", "verbosity")),
    "tools": Member(Decision.PASS, _TOOLS),
    "image": looked_into(_SHAPES, passes(_SHAPES, "context_compression")),
    "previous_response_id": Member(
        Decision.REFUSE, "Earlier responses are not stored: resend the items of the conversation as input."
    ),
    "conversation": Member(
        Decision.REFUSE, "Conversations are not stored: resend the items of the conversation as input."
    ),
    "prompt": Member(
        Decision.REFUSE,
        "Prompt templates are kept at the provider: send their text as instructions and input instead.",
    ),
}

RESPONSES: Final[Table] = {
    **_RESPONSES_COMMON,
    **passes(_SHAPES, "max_output_tokens", "max_tool_calls", "context_management"),
    **passes(_SWITCHES, "include", "stream"),
    "stream_options": _STREAM_OPTIONS,
    "background": Member(
        Decision.POLICY, "true is refused: a background response is kept at the provider until it is fetched"
    ),
    "background_options": Member(Decision.STRIP, "only for background responses, which are refused; names a series"),
    "multi_agent": Member(
        Decision.REFUSE,
        "Agents that run at the provider are not served, and their header is not sent: leave out multi_agent.",
    ),
}
COMPACT: Final[Table] = _RESPONSES_COMMON
INPUT_TOKENS: Final[Table] = _RESPONSES_COMMON

_ROUTES = "A request goes to the one model that it names, at the host that the operator chose: leave out {}."
_KEPT = "Requests whose answers are kept at the provider until they are fetched are not served: leave out {}."
_OWN = "an option of compatible hosts; shapes the answer"

HOSTS: Final[Table] = {
    # OpenRouter: https://openrouter.ai/docs/api-reference/parameters
    "models": Member(
        Decision.REFUSE,
        "A request goes to the one model that it names: leave out the list of further models.",
        code="unsupported_feature",
    ),
    **passes("chooses among a router's hosts, within what the operator's account there allows", "provider", "route"),
    "preset": Member(Decision.REFUSE, _ROUTES.format("preset")),
    **each(Decision.STRIP, "names a session or a trace", "session_id", "trace", "request_id"),
    **each(Decision.STRIP, _IDENTIFIES, "user_id", "end_user_id", "project_id"),
    **each(Decision.POLICY, "switches tools on, or sets them: policy.server_tools", "plugins", "search_settings"),
    **passes(_OWN, "transforms", "reasoning", "include_reasoning", "thinking", "usage"),
    # xAI: https://docs.x.ai/docs/api-reference
    "background": Member(Decision.REFUSE, _KEPT.format("background")),
    "deferred": Member(Decision.REFUSE, _KEPT.format("deferred")),
    "search_parameters": Member(Decision.POLICY, "switches a search on: policy.server_tools"),
    # Azure: https://learn.microsoft.com/azure/ai-foundry/openai/references/on-your-data
    "data_sources": Member(
        Decision.REFUSE, "Data kept at the provider is not served: put it into the messages instead of data_sources."
    ),
    # Engines and hosts: https://docs.vllm.ai/en/latest/serving/openai_compatible_server.html and the hosts' own pages
    **passes(
        _OWN,
        *("chat_template_kwargs", "chat_template", "mm_processor_kwargs", "structured_outputs", "guided_json"),
        *("guided_regex", "guided_grammar", "guided_decoding_backend", "structural_tag", "ebnf", "regex", "grammar"),
        *("reasoning_format", "prompt_mode", "tool_stream", "extra_body", "format", "options", "think"),
        *("separate_reasoning", "reasoning_split", "context_length_exceeded_behavior", "response_prefix", "template"),
    ),
    "safety_model": Member(Decision.REFUSE, _ROUTES.format("safety_model")),
    "prompt_cache_isolation_key": Member(Decision.PSEUDONYM, "identifies a user; the pseudonym replaces it"),
    "kv_transfer_params": Member(
        Decision.REFUSE, "Addresses of other machines are not served: leave out kv_transfer_params."
    ),
    "keep_alive": Member(Decision.PASS, "how long an engine keeps its model in memory"),
}  # fmt: skip
"""Members of compatible hosts, which OpenAI itself does not know."""

_OF_TOOLS = "of a tool that runs at the provider: policy.server_tools"

NESTED: Final[Table] = {
    **passes(
        _CONTENT,
        *("text", "content", "refusal", "input_audio", "data", "file", "file_data", "filename", "title", "arguments"),
        *("output", "input", "result", "results", "code", "command", "commands", "diff", "stdout", "stderr", "logs"),
        *("query", "queries", "summary", "encrypted_content", "annotations", "outputs", "error", "message", "messages"),
        *("reason", "source", "sources", "actions", "action", "env", "path", "working_directory", "keys", "x", "y"),
        *("scroll_x", "scroll_y", "button", "fingerprint", "revised_prompt", "operation", "pattern", "svg", "bytes"),
        *("start_index", "end_index", "index", "score", "exit_code", "outcome", "moderation_details", "logprob"),
        *("frame_count", "frame_duration_ms", "token", "definition", "syntax", "grammar", "value", "domain"),
    ),
    **passes(
        "structure of a message, an item or a call",
        *("role", "type", "id", "call_id", "tool_call_id", "tool_calls", "function", "function_call", "custom"),
        *("name", "namespace", "status", "phase", "approval_request_id", "approve", "caller", "caller_id", "param"),
        *("acknowledged_safety_checks", "pending_safety_checks", "moderation_stage", "categories", "audio", "async"),
        *("environment", "image_url", "url", "voice", "execution", "agent", "agent_name", "author", "recipient"),
    ),
    **passes(
        "the definition of a tool",
        *("description", "parameters", "strict", "schema", "json_schema", "input_schema", "output_schema", "format"),
        *("tools", "tool_names", "allowed_callers", "defer_loading", "display_height", "display_width", "mode"),
        *("allowed_tools", "read_only", "max_output_length", "timeout_ms"),
    ),
    **passes(
        _SHAPES,
        *("detail", "effort", "verbosity", "truncation", "generate_summary", "context", "complexity", "quality"),
        *("include_usage", "include_obfuscation", "context_compression", "compact_threshold", "media_type"),
        *(
            "reasoning",
            "logprobs",
            "top_logprobs",
            "input_tokens",
            "output_tokens",
            "reasoning_tokens",
            "total_tokens",
            "svg_usage",
        ),
    ),
    "prompt_cache_breakpoint": Member(
        Decision.POLICY, "where the cache ends; removed with policy.cache_isolation = none", decided="2026-11-28"
    ),
    **each(
        Decision.POLICY,
        _OF_TOOLS,
        *("search_context_size", "user_location", "approximate", "city", "country", "region", "timezone", "filters"),
        *("allowed_domains", "external_web_access", "search_content_types", "max_num_results", "ranking_options"),
        *("ranker", "score_threshold", "hybrid_search", "embedding_weight", "text_weight", "key", "attributes"),
        *("vector_store_ids", "container", "container_id", "network_policy", "domain_secrets", "skills", "skill_id"),
        *("version", "server_label", "server_url", "server_description", "connector_id", "tunnel_id", "authorization"),
        *("headers", "require_approval", "always", "never", "input_fidelity", "input_image_mask", "output_format"),
        *("output_compression", "partial_images", "size", "background", "moderation", "model"),
    ),
    **each(
        Decision.REFUSE,
        "part of a member that is refused or removed",
        *("variables", "enabled", "max_concurrent_subagents", "cyber", "continuation_id", "completion_window"),
    ),
    **each(Decision.REFUSE, "names a file kept at the provider", "file_id", "file_ids"),
    "file_url": Member(Decision.PASS, "an address that the provider fetches; the data there is content"),
    "memory_limit": Member(Decision.REFUSE, "a larger container has no price here"),
}
"""Nested members: those of messages, items, parts and tools. The readers of messages and tools carry out the refusals.
"""

PLACES: Final[dict[tuple[str, str], Member]] = {
    ("FilePromptCacheBreakpoint", "ttl"): Member(Decision.PASS, "of one breakpoint; bounded by prompt_cache_options"),
    ("PromptCacheBreakpoint", "ttl"): Member(Decision.PASS, "of one breakpoint; bounded by prompt_cache_options"),
    ("LocalShellCallAction", "user"): Member(Decision.PASS, "who runs a command in the client's own sandbox"),
    ("InlineSkillParam", "name"): Member(Decision.POLICY, _OF_TOOLS),
}  # fmt: skip
"""Decisions by the SDK's type and the name, for names with another meaning there."""

KINDS: Final[Table] = {
    **passes(
        "a kind of part, item, call, result or tool that the client runs",
        *("additional_tools", "allowed_tools", "allowlist", "and", "apply_patch", "apply_patch_call"),
        *("apply_patch_call_output", "approximate", "auto", "base64", "click", "code_interpreter_call", "compaction"),
        *("compaction_trigger", "computer", "computer_call", "computer_call_output", "computer_screenshot"),
        *("computer_use", "computer_use_preview", "configuration_update", "container_auto"),
        *("container_file_citation", "content", "create_file", "custom", "custom_tool_call"),
        *("custom_tool_call_output", "delete_file", "direct", "disabled", "double_click", "drag"),
        *("encrypted_content", "eq", "exec", "exit", "file", "file_citation", "file_path", "file_search_call"),
        *("find_in_page", "function", "function_call", "function_call_output", "grammar", "gt", "gte", "http_error"),
        *("image", "image_generation_call", "image_url", "in", "inline", "input_audio", "input_file", "input_image"),
        *("input_text", "json_object", "json_schema", "keypress", "local", "local_shell", "local_shell_call"),
        *("local_shell_call_output", "logs", "lt", "lte", "mcp_approval_request", "mcp_approval_response"),
        *("mcp_call", "mcp_list_tools", "mcp_protocol_error", "mcp_tool_execution_error", "message", "move"),
        *("namespace", "ne", "nin", "open_page", "or", "output_text", "program", "program_output", "reasoning"),
        *("reasoning_text", "refusal", "screenshot", "scroll", "search", "shell", "shell_call", "shell_call_output"),
        *("summary_text", "text", "timeout", "tool_search_call", "tool_search_output", "type", "update_file", "url"),
        *("url_citation", "wait", "web_search_call"),
    ),
    **each(
        Decision.POLICY,
        "a tool that runs at the provider: policy.server_tools",
        *("code_interpreter", "file_search", "image_generation", "mcp", "programmatic_tool_calling", "tool_search"),
        *("web_search", "web_search_2025_08_26", "web_search_preview", "web_search_preview_2025_03_11"),
    ),
    **each(
        Decision.REFUSE,
        "kept at the provider",
        *("item_reference", "multi_agent_call", "multi_agent_call_output", "agent_message", "container_reference"),
        *("skill_reference",),
    ),
}
"""Values of ``type``, at any depth."""

EVENTS: Final[Table] = passes(
    "an event of a stream: passes, and is read by its scanner",
    *("error", "response.audio.delta", "response.audio.done", "response.audio.transcript.delta"),
    *("response.audio.transcript.done", "response.code_interpreter_call.completed"),
    *("response.code_interpreter_call.in_progress", "response.code_interpreter_call.interpreting"),
    *("response.code_interpreter_call_code.delta", "response.code_interpreter_call_code.done"),
    *("response.compaction.compacting", "response.completed", "response.content_part.added"),
    *("response.content_part.done", "response.created", "response.custom_tool_call_input.delta"),
    *("response.custom_tool_call_input.done", "response.failed", "response.file_search_call.completed"),
    *("response.file_search_call.in_progress", "response.file_search_call.searching"),
    *("response.function_call_arguments.delta", "response.function_call_arguments.done"),
    *("response.image_generation_call.completed", "response.image_generation_call.generating"),
    *("response.image_generation_call.in_progress", "response.image_generation_call.partial_image"),
    *("response.in_progress", "response.incomplete", "response.mcp_call.completed", "response.mcp_call.failed"),
    *("response.mcp_call.in_progress", "response.mcp_call_arguments.delta", "response.mcp_call_arguments.done"),
    *("response.mcp_list_tools.completed", "response.mcp_list_tools.failed", "response.mcp_list_tools.in_progress"),
    *("response.output_item.added", "response.output_item.done", "response.output_text.annotation.added"),
    *("response.output_text.delta", "response.output_text.done", "response.queued"),
    *("response.reasoning_summary_part.added", "response.reasoning_summary_part.done"),
    *("response.reasoning_summary_text.delta", "response.reasoning_summary_text.done"),
    *("response.reasoning_text.delta", "response.reasoning_text.done", "response.refusal.delta"),
    *("response.refusal.done", "response.shell_call_command.added", "response.shell_call_command.delta"),
    *("response.shell_call_command.done", "response.shell_call_output_content.delta"),
    *("response.shell_call_output_content.done", "response.web_search_call.completed"),
    *("response.web_search_call.in_progress", "response.web_search_call.searching"),
)
"""Events of a stream."""

USAGE: Final[Table] = passes(
    "a count or a label of the usage that an answer states: read, or the record is marked as unpriced",
    *("completion_tokens", "completion_tokens_details.accepted_prediction_tokens"),
    *("completion_tokens_details.audio_tokens", "completion_tokens_details.reasoning_tokens"),
    *("completion_tokens_details.rejected_prediction_tokens", "completion_tokens_details.text_tokens"),
    *("input_tokens", "input_tokens_details.cache_write_tokens"),
    *("input_tokens_details.cache_write_tokens_details.ttl_12h_tokens",),
    *("input_tokens_details.cache_write_tokens_details.ttl_30m_tokens", "input_tokens_details.cached_tokens"),
    *("output_tokens", "output_tokens_details.reasoning_tokens", "prompt_tokens"),
    *("prompt_tokens_details.audio_tokens", "prompt_tokens_details.cache_write_tokens"),
    *("prompt_tokens_details.cached_tokens", "prompt_tokens_details.image_tokens"),
    *("prompt_tokens_details.text_tokens", "total_tokens"),
)
"""Members of the usage that an answer states, by their path."""
