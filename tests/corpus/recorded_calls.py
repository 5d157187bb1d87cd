"""How often a recorded answer says that a server-side tool was called.

Calls are stated outside of the usage member, each provider in its own place; the tokens are in
`test_usage.table`. Worked out from the whole decoded body, independently of `providers`.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

from providers.dialect import Family, Operation
from tests.corpus.recordings import Recording

_ENDS = ("response.completed", "response.incomplete", "response.failed")


def recorded_calls(recording: Recording) -> dict[str, int]:
    """``searches``, ``fetches`` and ``code_runs`` of a good answer."""
    found: dict[str, int] = {"searches": 0, "fetches": 0, "code_runs": 0}
    if not recording.body:
        return found
    objects = _objects(recording)
    usage = recording.record["usage"] or {}
    operation = recording.operation
    if operation in (Operation.OPENAI_RESPONSES, Operation.OPENAI_COMPACT):
        ended = [event["response"] for event in objects if event.get("type") in _ENDS] if recording.sse else objects
        for response in ended[-1:]:
            called = Counter(item.get("type") for item in response.get("output") or [] if _billed(item))
            stated = _of(response, "tool_usage", "web_search", "num_requests")
            found["searches"] = called["file_search_call"] + (called["web_search_call"] if stated is None else stated)
            found["code_runs"] = called["code_interpreter_call"]
    elif operation.family is Family.OPENAI:
        tools = usage.get("server_tool_use") or usage.get("server_tool_use_details")
        found["searches"] = _of(tools, "web_search_requests") or usage.get("num_search_queries") or 0
    elif operation.family is Family.ANTHROPIC:
        for name, stated in (("searches", "web_search"), ("fetches", "web_fetch"), ("code_runs", "code_execution")):
            found[name] = _of(usage, "server_tool_use", f"{stated}_requests") or 0
    else:
        found["searches"] = max((_grounded(chunk) for chunk in objects), default=0)
    return found


def _billed(item: Any) -> bool:
    """Of web searches only the action search is billed, and no call that failed."""
    if not isinstance(item, dict) or item.get("status") not in (None, "completed"):
        return isinstance(item, dict) and item.get("type") == "code_interpreter_call"
    return (item.get("action") or {}).get("type") not in ("open_page", "find_in_page")


def _objects(recording: Recording) -> list[dict[str, Any]]:
    body = str(recording.record["response_body"])
    if recording.sse:
        lines = (line[5:].strip() for line in body.split("\n") if line.startswith("data:"))
        return [json.loads(line) for line in lines if line.startswith("{")]
    whole = json.loads(body)
    return whole if isinstance(whole, list) else [whole]


def _of(value: Any, *path: str) -> Any:
    for name in path:
        value = value.get(name) if isinstance(value, dict) else None
    return value


def _grounded(chunk: dict[str, Any]) -> int:
    """Before Gemini 3 an answer that searched is billed once, since then each query."""
    queries = sum(
        sum(1 for query in _of(candidate, "groundingMetadata", "webSearchQueries") or [] if query)
        for candidate in chunk.get("candidates") or []
    )
    return min(queries, 1) if str(chunk.get("modelVersion")).startswith(("gemini-1", "gemini-2")) else queries
