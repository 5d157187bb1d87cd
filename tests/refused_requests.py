"""Requests that are refused, and what is removed from others: one table for all tests that ask whether it stays so.

Each row is the operation and the members beside the model.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from providers.dialect import Family, Operation
from providers.members.decision import Decision
from providers.members.register import REGISTER

Row: TypeAlias = tuple[Operation, dict[str, Any]]

FILES_URI = "https://generativelanguage.googleapis.com/v1beta/files/abc"
FILE = {"type": "file", "file_id": "file_1"}
_CHAT_TEXT = {"type": "text", "text": "x"}
_REFERENCE = {"type": "item_reference", "id": "msg_1"}


def _user(*parts: Any) -> dict[str, Any]:
    return {"role": "user", "content": list(parts)}


OPENAI_CHAT: list[dict[str, Any]] = [
    {"messages": [_user(_CHAT_TEXT, {"type": "file", "file": {"file_id": "file-1"}})]},
    {"messages": [_user(_CHAT_TEXT, {"type": "file", "file": {"file_id": "file-1", "filename": "a"}})]},
    {"messages": [_user({"type": "file", "file_id": "file-1"})]},
    {"messages": [_user({"type": "text", "text": "x", "file_id": "file-1"})]},
    {"messages": [_user({"type": "image_url", "image_url": {"url": FILES_URI}}, _CHAT_TEXT)]},
    {"messages": [_user({"type": "image_url", "image_url": {"url": "file:///etc/passwd"}})]},
    {"messages": [_user({"type": "video_url", "video_url": {"url": "files/abc"}})]},
]
OPENAI_RESPONSES: list[dict[str, Any]] = [
    {"input": [_REFERENCE]},
    {"input": [_user(_CHAT_TEXT), _REFERENCE]},
    {"input": [{"id": "msg_1"}]},
    {"input": [{"id": "msg_1", "type": None}]},
    {"input": [_user({"type": "input_file", "file_id": "file-1"})]},
    {"input": [_user({"type": "input_text", "text": "x"}, {"type": "input_image", "file_id": "file-1"})]},
    {"input": [_user({"type": "input_image", "image_url": "file:///etc/passwd"})]},
    {"input": [_user({"type": "input_file", "file_url": FILES_URI})]},
    {"input": [{"type": "function_call_output", "output": [{"type": "input_file", "file_id": "f"}]}]},
    {"input": [{"type": "computer_call_output", "output": {"type": "computer_screenshot", "file_id": "f"}}]},
    {"tools": [{"type": "code_interpreter", "container": "cntr_1"}]},
    {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "file_ids": ["f"]}}]},
    {"tools": [{"type": "shell", "environment": {"type": "container_auto", "file_ids": ["f"]}}]},
    {"tools": [{"type": "image_generation", "input_image_mask": {"file_id": "f"}}]},
    {"tools": [{"type": "code_interpreter", "container": {"type": "auto", "memory_limit": "4g"}}]},
    {"input": [{"type": "tool_search_output", "tools": [{"type": "shell", "environment": {"memory_limit": "64g"}}]}]},
]
ANTHROPIC_MESSAGES: list[dict[str, Any]] = [
    {"messages": [_user({"type": "document", "source": FILE})]},
    {"messages": [_user({"type": "image", "source": FILE}, _CHAT_TEXT)]},
    {"messages": [_user({"type": "image", "source": {"type": "base64", "file_id": "file_1", "data": "x"}})]},
    {"messages": [_user({"type": "container_upload", "file_id": "f"})]},
    {"messages": [_user({"type": "tool_result", "tool_use_id": "t", "content": [{"type": "image", "source": FILE}]})]},
    {"messages": [_user({"type": "document", "source": {"type": "content", "content": [{"source": FILE}]}})]},
    {"system": [{"type": "document", "source": FILE}]},
    {"messages": [_user({"type": "image", "source": {"type": "url", "url": "https://api.anthropic.com/v1/files/f"}})]},
]
_FILE_DATA: list[dict[str, Any]] = [
    {"fileData": {"fileUri": FILES_URI}},
    {"file_data": {"file_uri": FILES_URI}},
    {"fileData": {"fileUri": "files/abc"}},
    {"fileData": {"fileUri": "v1beta/files/abc"}},
    {"fileData": {"fileUri": f" {FILES_URI}"}},
    {"fileData": {"fileUri": FILES_URI.replace(".com/", ".com./")}},
    {"fileData": {"fileUri": FILES_URI.replace("files", "fi%6ces")}},
    {"fileData": {"fileUri": FILES_URI.replace("google", "g%6fogle")}},
    {"fileData": {"fileUri": FILES_URI.replace("apis.com", "apis\uff0ecom")}},
    {"fileData": {"fileUri": FILES_URI.replace("https://", "https://x@eu.")}},
    {"fileData": {"fileUri": FILES_URI.replace("https://", "https:\\")}},
    {"fileData": {"fileUri": FILES_URI.replace("https:", "")}},
    {"fileData": {"fileUri": "HTTPS://GenerativeLanguage.googleapis.com:443/v1/files/a"}},
]
GEMINI_GENERATE: list[dict[str, Any]] = [
    *({"contents": [{"parts": [part]}]} for part in _FILE_DATA),
    {"contents": {"parts": {"fileData": {"fileUri": FILES_URI}}}},
    {"system_instruction": {"parts": [{"fileData": {"fileUri": FILES_URI}}]}},
    {"contents": [{"parts": [{"functionResponse": {"parts": [{"fileData": {"fileUri": FILES_URI}}]}}]}]},
    {"cached_content": "cachedContents/abc"},
    {"generateContentRequest": {"cachedContent": "cachedContents/abc"}},
    {"generateContentRequest": {"contents": [{"parts": [{"fileData": {"fileUri": FILES_URI}}]}]}},
]
GEMINI_EMBED: list[dict[str, Any]] = [{"content": {"parts": [{"fileData": {"fileUri": FILES_URI}}]}}]
GEMINI_BATCH_EMBED: list[dict[str, Any]] = [
    {"requests": [{"content": {"parts": [{"fileData": {"fileUri": FILES_URI}}]}}]},
]
TOOLS: list[Row] = [
    (Operation.OPENAI_CHAT, {"tools": [{"type": "brand_new"}]}),
    (Operation.OPENAI_RESPONSES, {"input": [{"type": "additional_tools", "tools": [{"type": "mcp"}]}]}),
    (Operation.OPENAI_RESPONSES, {"tools": [{"type": "web_search"}], "tool_choice": {"type": "web_search"}}),
    (
        Operation.ANTHROPIC_MESSAGES,
        {"messages": [_user({"type": "tool_addition", "tool": {"definition": {"type": "web_fetch_20250910"}}})]},
    ),
]
"""Tools that no policy allows here, and that the request insists on."""

REMOVED: list[Row] = [
    (Operation.OPENAI_RESPONSES, {"tools": [{"type": "function", "name": "f"}, {"type": "web_search"}]}),
    (Operation.ANTHROPIC_MESSAGES, {"tools": [{"name": "f"}, {"type": "code_execution_20250825", "name": "c"}]}),
    (Operation.GEMINI_GENERATE, {"tools": [{"functionDeclarations": []}, {"codeExecution": {}}]}),
    (Operation.GEMINI_GENERATE, {"tools": {"google_search": {}}}),
    (Operation.OPENAI_CHAT, {"user": "bob", "metadata": {"a": "b"}, "store": True, "messages": []}),
    (
        Operation.OPENAI_RESPONSES,
        {"client_metadata": {"a": "b"}, "prompt_cache_options": {"comparison_response_id": "r"}},
    ),
    (Operation.OPENAI_RESPONSES, {"prompt_cache_retention": "24h", "safety_identifier": "bob"}),
    (Operation.ANTHROPIC_MESSAGES, {"metadata": {"user_id": "bob", "email": "b"}, "user_profile_id": "u"}),
    (Operation.ANTHROPIC_MESSAGES, {"diagnostics": {"previous_message_id": "m"}}),
    (
        Operation.GEMINI_GENERATE,
        {"labels": {"a": "b"}, "contents": [{"parts": [{"text": "x", "partMetadata": {"f": 1}}]}]},
    ),
    (
        Operation.OPENAI_CHAT,
        {"messages": [_user({"type": "text", "text": "x", "prompt_cache_breakpoint": {"ttl": "12h"}})]},
    ),
]
"""Requests that are served without some of their members."""

BETAS = ("files-api-2025-04-14", "skills-2025-10-02", "code-execution-2025-08-25", "mcp-client-2025-04-04")
"""Values of ``anthropic-beta`` that are refused."""


def rows() -> list[Row]:
    """All requests that are refused."""
    found: list[Row] = [
        (operation, {name: "canary"})
        for operation, table in REGISTER.items()
        for name, member in table.items()
        if member.decision is Decision.REFUSE
    ]
    for operation, table in (
        (Operation.OPENAI_CHAT, OPENAI_CHAT),
        (Operation.OPENAI_RESPONSES, OPENAI_RESPONSES),
        (Operation.ANTHROPIC_MESSAGES, ANTHROPIC_MESSAGES),
        (Operation.GEMINI_GENERATE, GEMINI_GENERATE),
        (Operation.GEMINI_EMBED, GEMINI_EMBED),
        (Operation.GEMINI_BATCH_EMBED, GEMINI_BATCH_EMBED),
    ):
        found += [(operation, members) for members in table]
    return found + TOOLS


PRIVATE_PATHS: dict[Family, list[str]] = {
    Family.OPENAI: [
        "POST /v1/files",
        "GET /v1/files/file-1/content",
        "POST /v1/uploads",
        "POST /v1/batches",
        "GET /v1/batches/batch_1",
        "POST /v1/assistants",
        "POST /v1/threads/t/runs",
        "POST /threads",
        "POST /v1/vector_stores/vs/search",
        "GET /v1/fine_tuning/jobs",
        "POST /v1/conversations",
        "GET /v1/conversations/c/items",
        "POST /v1/containers",
        "POST /v1/evals",
        "GET /v1/responses/resp_1",
        "DELETE /v1/responses/resp_1",
        "POST /v1/responses/resp_1/cancel",
        "GET /v1/responses/resp_1/input_items",
        "GET /v1/chat/completions/c",
        "GET /v1/chat/completions/c/messages",
        "POST /v1/traces/ingest",
        "POST /v1/skills",
    ],
    Family.ANTHROPIC: [
        "POST /v1/messages/batches",
        "GET /v1/messages/batches/b/results",
        "POST /v1/files",
        "POST /v1/skills",
        "POST /v1/containers",
        "POST /v1/sessions",
        "POST /v1/agents",
        "POST /v1/memory_stores",
    ],
    Family.GOOGLE: [
        "POST /v1beta/cachedContents",
        "PATCH /v1beta/cachedContents/c",
        "POST /upload/v1beta/files",
        "POST /v1/upload/v1beta/files",
        "POST /v1beta/files",
        "POST /v1beta/files:register",
        "POST /v1beta/interactions",
        "POST /v1beta/fileSearchStores/s:importFile",
        "POST /upload/v1beta/fileSearchStores/s:uploadToFileSearchStore",
        "POST /v1beta/corpora",
        "GET /v1beta/batches/b",
        "POST /v1beta/models/m:batchGenerateContent",
        "POST /v1/models/m:batchGenerateContent",
        "POST /v1beta/models/m:asyncBatchEmbedContent",
        "POST /v1beta/tunedModels",
        "POST /v1beta/tunedModels/t:generateContent",
        "GET /ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent",
        "POST /v1beta/models/m:bidiGenerateContent",
        "POST /v1beta/auth_tokens",
    ],
}
UNSUPPORTED_PATHS: dict[Family, list[str]] = {
    Family.OPENAI: [
        "POST /v1/realtime/sessions",
        "GET /v1/realtime",
        "POST /v1/images/generations",
        "POST /v1/audio/speech",
        "POST /v1/audio/transcriptions",
        "POST /v1/moderations",
        "POST /v1/videos",
        "GET /v1/organization/usage/completions",
        "POST /v1beta/openai/chat/completions",
    ],
    Family.ANTHROPIC: ["POST /v1/complete", "GET /v1/organizations/me"],
    Family.GOOGLE: [
        "POST /v1beta/models/m:predict",
        "POST /v1beta/models/m:predictLongRunning",
        "POST /v1beta/models/m:generateText",
    ],
}
