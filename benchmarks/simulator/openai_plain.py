"""OpenAI's answers without conversation: embeddings and the list of models."""

from __future__ import annotations

import base64
import struct
from typing import Any

import msgspec
import orjson

from benchmarks.simulator import content
from benchmarks.simulator.exchange import Call, Reply
from benchmarks.simulator.openai_errors import error, headers

MODELS = ("gpt-4o-mini", "gpt-5-mini", "o4-mini", "gpt-3.5-turbo-instruct", "text-embedding-3-small")


class EmbeddingRequest(msgspec.Struct):
    model: str
    input: str | list[Any]
    encoding_format: str = "float"
    dimensions: int | None = None


def embeddings(call: Call) -> Reply:
    """POST /v1/embeddings, as floats or as base64 of little-endian float32."""
    request = msgspec.json.decode(call.body, type=EmbeddingRequest)
    content.bill_input(call, content.input_tokens(call), 0, 0)
    single = isinstance(request.input, str) or (bool(request.input) and isinstance(request.input[0], int))
    inputs = [request.input] if single else request.input
    dims = request.dimensions or call.controls.dims
    rows = []
    for index, item in enumerate(inputs):
        values = content.vector(orjson.dumps(item), dims)
        packed = base64.b64encode(struct.pack(f"<{dims}f", *values)).decode()
        row = packed if request.encoding_format == "base64" else values
        rows.append({"object": "embedding", "index": index, "embedding": row})
    body = {
        "object": "list",
        "data": rows,
        "model": call.bill.model,
        "usage": {"prompt_tokens": call.bill.input, "total_tokens": call.bill.input},
    }
    return Reply(200, headers(call), orjson.dumps(body, option=orjson.OPT_INDENT_2) + b"\n")


def models(call: Call) -> Reply:
    """GET /v1/models and /v1/models/{id}."""
    rows = [{"id": name, "object": "model", "created": 1692901427, "owned_by": "system"} for name in MODELS]
    name = call.path.partition("/models")[2].strip("/")
    if not name:
        return Reply(200, headers(call), orjson.dumps({"object": "list", "data": rows}, option=orjson.OPT_INDENT_2))
    row = next((row for row in rows if row["id"] == name), None)
    return error(call, "404") if row is None else Reply(200, headers(call), orjson.dumps(row))
