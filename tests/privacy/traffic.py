"""Requests with a marker in every place that a client or a provider can fill."""

from __future__ import annotations

import base64
import json
from typing import Any
from urllib.parse import urlencode

from tests.integration.conftest import prompt
from tests.privacy.stage import Stage
from tests.raw_http import Answer, request

KINDS = {"openai": "gpt-4o", "anthropic": "claude-x", "google": "gemini-x"}
HEADERS = ("user-agent", "cookie", "x-forwarded-for", "x-codex-turn-metadata", "baggage", "tracestate", "x-note")


def send(
    stage: Stage,
    kind: str,
    script: str = "plain",
    *,
    stream: bool = True,
    text: str = "",
    name: str = "",
    more: dict[str, Any] | None = None,
    headers: dict[str, str] | None = None,
) -> bytes:
    """One request of a dialect. ``text`` follows the prompt's marker, ``more`` joins the body."""
    plant, name = stage.canaries.plant, name or f"{kind}, {script}"
    stage.sim.set_defaults(mark=plant("answer", name))
    path, body = prompt(kind, script, plant("prompt", name) + text, stream=stream)
    content = json.loads(body) | (more or {})
    if kind == "openai":
        content |= {"user": plant("identity: user", name), "metadata": {"a": plant("identity: metadata", name)}}
    body = json.dumps(content).encode()
    stage.canaries.note_body(body, name)
    fields = stage.auth | {header: plant(f"header: {header}", name) for header in HEADERS} | (headers or {})
    return request("POST", path + ("&" if "?" in path else "?") + "note=" + plant("query", name), body, headers=fields)


def conversation(stage: Stage, kind: str) -> dict[str, Any]:
    """Members of a body with a system prompt, a tool call, its result and an image."""
    name = f"{kind}, a whole conversation"
    said = {
        place: stage.canaries.plant(place, name)
        for place in ("system prompt", "tool arguments", "tool result", "words")
    }
    image = base64.b64encode(b"\x89PNG\r\n\x1a\n" + stage.canaries.plant("image bytes", name).encode()).decode()
    arguments = {"path": said["tool arguments"]}
    if kind == "google":
        return {
            "systemInstruction": {"parts": [{"text": said["system prompt"]}]},
            "contents": [
                {
                    "role": "user",
                    "parts": [{"text": said["words"]}, {"inlineData": {"mimeType": "image/png", "data": image}}],
                },
                {"role": "model", "parts": [{"functionCall": {"name": "read", "args": arguments}}]},
                {
                    "role": "user",
                    "parts": [{"functionResponse": {"name": "read", "response": {"text": said["tool result"]}}}],
                },
            ],
        }
    if kind == "anthropic":
        source = {"type": "base64", "media_type": "image/png", "data": image}
        return {
            "system": said["system prompt"],
            "messages": [
                {
                    "role": "user",
                    "content": [{"type": "text", "text": said["words"]}, {"type": "image", "source": source}],
                },
                {
                    "role": "assistant",
                    "content": [{"type": "tool_use", "id": "t1", "name": "read", "input": arguments}],
                },
                {
                    "role": "user",
                    "content": [{"type": "tool_result", "tool_use_id": "t1", "content": said["tool result"]}],
                },
            ],
        }
    call = {"id": "t1", "type": "function", "function": {"name": "read", "arguments": json.dumps(arguments)}}
    picture = {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}}
    return {
        "messages": [
            {"role": "system", "content": said["system prompt"]},
            {"role": "user", "content": [{"type": "text", "text": said["words"]}, picture]},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "t1", "content": said["tool result"]},
        ]
    }


def form(
    stage: Stage, path: str, fields: dict[str, str], *, name: str, headers: dict[str, str] | None = None
) -> Answer | None:
    """One form as browsers and OAuth clients send it, with a marker in its query and headers."""
    plant = stage.canaries.plant
    kept = {"content-type": "application/x-www-form-urlencoded", "user-agent": plant("header: user-agent", name)}
    query = "?note=" + plant("query", name)
    body = urlencode(fields, safe=":").encode()
    return stage.ask(local(request("POST", path + query, body, headers=kept | (headers or {}))))


def local(data: bytes) -> bytes:
    """A request to this machine's own name: the portal's local sign-in is there alone."""
    return data.replace(b"host: gateway.test", b"host: 127.0.0.1", 1)
