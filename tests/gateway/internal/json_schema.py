"""Checks a value against the part of JSON Schema 2020-12 that the OpenAPI document uses."""

from __future__ import annotations

import re
from typing import Any

KNOWN = {
    "$ref", "type", "properties", "required", "additionalProperties", "items", "anyOf", "enum", "minimum", "maximum",
    "maxLength", "minLength", "pattern", "title", "description", "default", "propertyNames", "uniqueItems",
}  # fmt: skip
TYPES: dict[str, Any] = {
    "object": dict, "array": list, "string": str, "integer": int, "boolean": bool, "null": type(None)
}  # fmt: skip


def faults(value: Any, schema: dict[str, Any], document: dict[str, Any], at: str = "$") -> list[str]:
    """What of ``value`` breaks the schema; an unknown keyword is a fault, too."""
    if unknown := set(schema) - KNOWN:
        return [f"{at}: keywords {unknown}"]
    if "$ref" in schema:
        return faults(value, document["components"]["schemas"][schema["$ref"].rsplit("/", 1)[1]], document, at)
    if "anyOf" in schema:
        branches = [faults(value, branch, document, at) for branch in schema["anyOf"]]
        return [] if [] in branches else branches[0]
    kind = schema.get("type")
    if kind is not None and (not isinstance(value, TYPES[kind]) or (kind == "integer" and isinstance(value, bool))):
        return [f"{at}: is not {kind}"]
    found: list[str] = []
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{at}: is none of {schema['enum']}")
    if isinstance(value, int) and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{at}: out of range")
    if isinstance(value, str) and not (
        len(value) <= schema.get("maxLength", len(value)) and re.search(schema.get("pattern", ""), value)
    ):
        found.append(f"{at}: text")
    if schema.get("uniqueItems") and len({str(item) for item in value}) != len(value):
        found.append(f"{at}: an item comes twice")
    if isinstance(value, dict):
        properties, more = schema.get("properties", {}), schema.get("additionalProperties", {})
        found += [f"{at}: {name} is missing" for name in schema.get("required", ()) if name not in value]
        for name, item in value.items():
            if name in properties:
                found += faults(item, properties[name], document, f"{at}.{name}")
            elif more is False:
                found.append(f"{at}: {name} is not described")
            else:
                found += faults(item, more, document, f"{at}.{name}")
        # A described object describes all of its members, or a client would not know of them.
        if properties:
            found += [f"{at}: {name} is not described" for name in value if name not in properties]
    if isinstance(value, list):
        for index, item in enumerate(value):
            found += faults(item, schema.get("items", {}), document, f"{at}[{index}]")
    return found
