"""JSON schemas as providers restrict them."""

from __future__ import annotations

from typing import Any

import msgspec

_DEEPEST = 64


def is_closed(schema: bytes) -> bool:
    """Whether OpenAI's and Anthropic's strict modes take the schema: every object lists its members, all required.

    https://developers.openai.com/api/docs/guides/structured-outputs: ``additionalProperties`` is false, and
    ``required`` names every property.
    """
    try:
        return bool(schema) and _closed(msgspec.json.decode(schema), 0)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return False


def _closed(schema: Any, depth: int) -> bool:
    if depth > _DEEPEST:
        return False
    if isinstance(schema, list):
        return all(_closed(one, depth + 1) for one in schema)
    if not isinstance(schema, dict):
        return True
    properties = schema.get("properties")
    kind = schema.get("type")
    if kind == "object" or (isinstance(kind, list) and "object" in kind) or properties is not None:
        names = set(properties) if isinstance(properties, dict) else set[str]()
        required = schema.get("required", [])
        if (
            schema.get("additionalProperties") is not False
            or not isinstance(required, list)
            or names != {name for name in required if isinstance(name, str)}
        ):
            return False
    inner = [properties] if isinstance(properties, dict) else []
    return all(_closed(one, depth + 1) for each in inner for one in each.values()) and all(
        _closed(schema[name], depth + 1) for name in ("items", "anyOf", "oneOf", "allOf") if name in schema
    )
