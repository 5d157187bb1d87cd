"""What the simulated model says: text, an answer that fits a schema, a tool call, or thoughts.

Everything is a deterministic function of the request. Fragments are bytes as they stand between
the quotes of a JSON string, so that an event is three concatenated parts and nothing is encoded
when it is due. Every answer contains `MARK`, for tests that look for content where none may be; only
the control ``prose`` is for people, and says in place of it what it is that answers.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import orjson

from benchmarks.simulator.exchange import Call

MARK = "sim-answer"
THOUGHT = "sim-thought"
TRIGGER = "call the tool"
SAYING = "answer with the text"
"""What a user may write: the first tool is called, or with `` NAME {...}`` that one with these arguments; with a JSON
string, it is the answer."""
_CALLED = re.compile(TRIGGER + r" ([A-Za-z0-9_.:-]{1,64}) (?=\{)")
_SAID = re.compile(SAYING.encode() + rb' \\"((?:[^"\\]|\\\\\\["\\]|\\\\[^"\\])*)\\"')
PROSE = (
    "Hello! This is the provider simulator that comes with the CodeGrex gateway. No model read your prompt, and it did "
    "not leave this machine: whatever you ask, this text is the answer. It came the way a real answer comes, word by "
    "word in the format of the API that you called, and it was metered and charged like one. To talk to real models, "
    "set OPENAI_API_KEY, ANTHROPIC_API_KEY or GEMINI_API_KEY and start the gateway again."
)
_FRAGMENT = 9  # characters of JSON per event
_WORDS = tuple(re.findall(r" ?\S+", PROSE))


@dataclass(frozen=True, slots=True)
class Plan:
    """One answer, in no dialect yet.

    Attributes:
        kind: ``text``, ``json`` (text that fits a schema) or ``tool``.
        count: Content events of a stream, and the visible output tokens.
        thinking: Reasoning events before the content, and reasoning tokens.
        truncated: The request's own output limit ended the answer.
        document: Tool arguments or structured answer as JSON, empty for text.
        tool: Name of the tool to call.
        mark: What every answer contains, in text, thoughts and documents alike.
        words: The free text in ``count`` parts, if it is not made of marks.
    """

    kind: str
    count: int
    thinking: int
    truncated: bool = False
    document: str = ""
    tool: str = ""
    mark: str = MARK
    words: tuple[str, ...] = ()

    def fragments(self, pad: int = 0) -> Iterator[bytes]:
        """The content in `count` parts, each lengthened by ``pad`` bytes where it is free text."""
        if self.words:
            for word in self.words:
                yield orjson.dumps(word)[1:-1]
            return
        if self.kind == "text":
            fill = b"x" * pad
            for index in range(self.count):
                yield b" " + self.mark.encode() + b"-%05d" % index + fill
            return
        for start in range(0, len(self.document), _FRAGMENT):
            yield orjson.dumps(self.document[start : start + _FRAGMENT])[1:-1]

    def text(self, pad: int = 0, least: int = 0) -> str:
        """The whole content; free text is repeated until it has ``least`` characters."""
        if self.kind != "text":
            return self.document
        words = b"".join(self.fragments(pad)).decode()
        if least > len(words):
            words += (" " + self.mark) * ((least - len(words)) // (len(self.mark) + 1) + 1)
        return words

    def thoughts(self) -> list[str]:
        said = THOUGHT if self.mark == MARK else self.mark
        return [f" {said}-{index:05d}" for index in range(self.thinking)]

    def saying(self, document: str) -> Plan:
        """The same answer with another document."""
        return replace(self, document=document, count=_parts(document))

    @property
    def arguments(self) -> Any:
        return orjson.loads(self.document)


def plan(
    call: Call,
    *,
    schema: Any = None,
    tool: tuple[str, Any] | None = None,
    limit: int | None = None,
    thinking: int = 0,
) -> Plan:
    """Decide what to say. ``limit`` cuts free text only; ``thinking`` yields to the control."""
    controls = call.controls
    thoughts = thinking if controls.thinking is None else controls.thinking
    mark = controls.mark or ("simulated" if controls.prose else MARK)
    if tool is not None:
        document = orjson.dumps(fit(tool[1])).decode().replace(MARK, mark)
        return Plan("tool", _parts(document), thoughts, document=document, tool=tool[0], mark=mark)
    if schema is not None:
        document = orjson.dumps(fit(schema)).decode().replace(MARK, mark)
        return Plan("json", _parts(document), thoughts, document=document, mark=mark)
    if said := _said(call.body):
        return Plan("json", _parts(said), thoughts, document=said, mark=mark)
    words = _WORDS if controls.prose else ()
    count = len(words) or controls.chunks
    truncated = limit is not None and limit < count and "no_limit" not in controls.faults
    if truncated and limit is not None:
        count = limit
    return Plan("text", count, thoughts, truncated, mark=mark, words=words[:count])


def _said(body: bytes) -> str:
    """What the request wants to hear, if it says so: a JSON string within a string of the body."""
    found = _SAID.findall(body) if SAYING.encode() in body else []
    return str(json.loads(json.loads(b'"\\"' + found[-1] + b'\\""'))) if found else ""


def _parts(document: str) -> int:
    return -(-len(document) // _FRAGMENT)


def fit(schema: Any, root: Any = None, depth: int = 0) -> Any:
    """A value that a simple JSON Schema (or Google's Schema) accepts."""
    if not isinstance(schema, dict) or depth > 12:
        return {}
    if "const" in schema:
        return schema["const"]
    root = schema if root is None else root
    if "$ref" in schema:
        target: Any = root
        for part in str(schema["$ref"]).removeprefix("#/").split("/"):
            target = target.get(part, {})
        return fit(target, root, depth + 1)
    if "const" in schema:
        return schema["const"]
    if schema.get("enum"):
        return schema["enum"][0]
    for union in ("anyOf", "any_of", "oneOf"):
        if schema.get(union):
            return fit(schema[union][0], root, depth + 1)
    kind: Any = schema.get("type") or schema.get("type_") or ("object" if "properties" in schema else "string")
    if isinstance(kind, list):
        kind = kind[0]
    return _simple(_GOOGLE_TYPES.get(kind, str(kind).lower()), schema, root, depth)


_GOOGLE_TYPES: dict[Any, str] = {1: "string", 2: "number", 3: "integer", 4: "boolean", 5: "array", 6: "object"}


def _simple(kind: str, schema: dict[str, Any], root: Any, depth: int) -> Any:
    if kind == "object":
        properties = schema.get("properties") or {}
        return {name: fit(part, root, depth + 1) for name, part in properties.items()}
    if kind == "array":
        return [fit(schema.get("items", {"type": "string"}), root, depth + 1)]
    values: dict[str, Any] = {"integer": 7, "number": 1.5, "boolean": True, "null": None}
    return values.get(kind, MARK)


def asked_tool(
    call: Call, last_user_text: Callable[[], str], tools: list[tuple[str, Any]], *, must: bool = False
) -> tuple[str, Any] | None:
    """The tool that the last user text wants called (`TRIGGER`), with a schema of its arguments.

    Looks at the messages only if it may. ``must``: the request insists on a tool, the first one if its text names none.
    """
    text = last_user_text() if TRIGGER.encode() in call.body.lower() else ""
    if (named := _CALLED.search(text)) is not None:
        arguments, _ = json.JSONDecoder().raw_decode(text, named.end())
        return next(((name, {"const": arguments}) for name, _ in tools if name == named[1]), None)
    return tools[0] if tools and (must or TRIGGER in text.lower()) else None


def input_tokens(call: Call) -> int:
    """A quarter of the body's bytes, unless the controls say otherwise; at least 1."""
    stated = call.controls.tokens_in
    return max(1, len(call.body) // 4) if stated is None else stated


def vector(seed: bytes, dims: int) -> list[float]:
    """A deterministic embedding with values that survive a float32."""
    state = sum(seed) + len(seed)
    return [(((state + 31 * index) % 255) - 127) / 128 for index in range(dims)]


def bill_input(call: Call, total: int, read: int, written: int) -> None:
    bill = call.bill
    bill.input, bill.cache_read, bill.cache_write = total, read, written
