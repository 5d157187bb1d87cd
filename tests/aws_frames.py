"""Writes Amazon's event streams, for the tests of what reads them."""

from __future__ import annotations

import base64
import json
import struct
from collections.abc import Iterable, Mapping
from typing import Any
from zlib import crc32


def frame(headers: Mapping[str, str], payload: bytes, *, more: bytes = b"") -> bytes:
    """One message; ``more`` are headers of other types, as bytes."""
    block = more + b"".join(
        bytes([len(name)]) + name.encode() + b"\x07" + struct.pack(">H", len(value.encode())) + value.encode()
        for name, value in headers.items()
    )
    prelude = struct.pack(">II", 16 + len(block) + len(payload), len(block))
    whole = prelude + struct.pack(">I", crc32(prelude)) + block + payload
    return whole + struct.pack(">I", crc32(whole))


def chunk(event: Any) -> bytes:
    """An event of the Messages API, as Bedrock sends it: with padding beside it."""
    data = event if isinstance(event, bytes) else json.dumps(event, separators=(",", ":")).encode()
    headers = {":event-type": "chunk", ":content-type": "application/json", ":message-type": "event"}
    return frame(headers, json.dumps({"bytes": base64.b64encode(data).decode(), "p": "abcdefgh"}).encode())


def exception(name: str, message: str) -> bytes:
    headers = {":exception-type": name, ":content-type": "application/json", ":message-type": "exception"}
    return frame(headers, json.dumps({"message": message}).encode())


def message(text: str = "Hello there", *, pieces: int = 3) -> list[dict[str, Any]]:
    """The events of a short answer."""
    usage = {"input_tokens": 11, "output_tokens": 1, "cache_creation_input_tokens": 0, "cache_read_input_tokens": 4}
    start = {
        "id": "msg_bdrk_1", "type": "message", "role": "assistant", "model": "claude-sonnet-4-5-20250929",
        "content": [], "stop_reason": None, "stop_sequence": None, "usage": usage,
    }  # fmt: skip
    step = -(-len(text) // pieces)
    return [
        {"type": "message_start", "message": start},
        {"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}},
        *(
            {"type": "content_block_delta", "index": 0, "delta": {"type": "text_delta", "text": text[at : at + step]}}
            for at in range(0, len(text), step)
        ),
        {"type": "content_block_stop", "index": 0},
        {"type": "message_delta", "delta": {"stop_reason": "end_turn", "stop_sequence": None},
         "usage": {"output_tokens": 7}},
        {"type": "message_stop", "amazon-bedrock-invocationMetrics": {"inputTokenCount": 11, "outputTokenCount": 7}},
    ]  # fmt: skip


def body(events: Iterable[Any]) -> bytes:
    return b"".join(map(chunk, events))
