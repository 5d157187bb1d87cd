"""The pages of ``docs/reference/``, written from what the code says: ``python -m release.reference``.

Rules:

1. A page is a pure function of this version: no date, no machine, no order that is not fixed.
2. The keys of the configuration are those that its readers ask for, with the bounds that they check; the meaning of a
   key is its comment in ``gateway.example.toml``.
3. The APIs are as their OpenAPI documents have them.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from decimal import Decimal
from pathlib import Path
from typing import Any, ClassVar, TypeAlias

from gateway.api import openapi as data_plane
from gateway.config import ConfigError
from gateway.config.load import read
from gateway.config.reader import Choice, Section
from gateway.internal import openapi as internal
from gateway.internal.operations import OPERATIONS

ROOT = Path(__file__).parent.parent
FOLDER = ROOT / "docs/reference"
EXAMPLE = ROOT / "gateway.example.toml"

_WRITTEN = "This page is written by `python -m release.reference`"

# -- the configuration ---------------------------------------------------------------------------------------------

_KEY = re.compile(r'^(?:# )?"?(?P<key>[a-z][a-z_0-9.]*)"? = (?P<value>.*?)(?:\s+# ?(?P<comment>.*))?$')
_TABLE = re.compile(r"^(?:# )?\[{1,2}(?P<name>[\w.\"-]+)\]{1,2}")
_MORE = re.compile(r"^#? {20,}# ?(?P<comment>.*)$")
_TOML = re.compile(r'# (?:\[|"?[a-z0-9_.]+"? = )')
_NAMED = ("providers", "tiers", "internal.tokens", "oauth.clients")  # tables that the operator names


class _Asking(Section):
    """Notes what the readers ask for: table and key to its kind, and to the value that it has if it is not stated."""

    noted: ClassVar[dict[tuple[str, str], tuple[str, object]]] = {}

    def _note(self, key: str, kind: str, default: object = None) -> None:
        at = (_table(self.name), key)
        if at not in self.noted:
            self.noted[at] = kind, default
        elif not self.noted[at][0]:  # its reader has asked whether it is stated: without it, something else holds
            self.noted[at] = kind, None

    def has(self, key: str) -> bool:
        self._note(key, "")
        return super().has(key)

    def raw(self, key: str) -> Any:
        self._note(key, "")
        return super().raw(key)

    def string(self, key: str, default: str = "") -> str:
        self._note(key, "text", default or None)
        return super().string(key, default)

    def secret(self, key: str, *, needed: bool) -> str:
        self._note(key, "secret text")
        return super().secret(key, needed=needed)

    def strings(self, key: str) -> tuple[str, ...]:
        self._note(key, "list of texts")
        return super().strings(key)

    def integer(self, key: str, default: int, low: int, high: int = 2**53) -> int:
        self._note(key, f"integer from {low}" + ("" if high == 2**53 else f" to {high}"), default)
        return super().integer(key, default, low, high)

    def decimal(self, key: str, default: Decimal) -> Decimal:
        self._note(key, "number", default)
        return super().decimal(key, default)

    def seconds(self, key: str, default: float, *, zero: bool = False) -> float:
        self._note(key, "seconds" + (", or 0" if zero else ""), default)
        return super().seconds(key, default, zero=zero)

    def boolean(self, key: str, default: bool) -> bool:
        self._note(key, "`true` or `false`", str(default).lower())
        return super().boolean(key, default)

    def choice(self, key: str, default: Choice) -> Choice:
        self._note(key, " ".join(f"`{value}`" for value in type(default)), default)
        return super().choice(key, default)

    def path(self, key: str, default: str | None = None) -> Path | None:
        self._note(key, "path", default)
        return super().path(key, default)

    def table(self, key: str) -> Section:
        self._note(key, "table")
        return super().table(key)

    def array(self, key: str) -> Iterator[Section]:
        self._note(key, "list of tables")
        return super().array(key)


def _table(name: str) -> str:
    """A table's name, with NAME where the operator chooses one."""
    name = re.sub(r"\[\d+\]", "", name)
    for group in _NAMED:
        if name.startswith(f"{group}.") and name.count(".") == group.count(".") + 1:
            return f"{group}.NAME"
    return name


Asked: TypeAlias = Mapping[tuple[str, str], tuple[str, object]]


def keys() -> Asked:
    """Every key that the readers ask for: (table, key) to its kind and its default."""
    text = "\n".join(line[2:] if _TOML.match(line) else line for line in EXAMPLE.read_text().splitlines())
    _Asking.noted.clear()
    with suppress(ConfigError):  # it states more than one configuration can have
        read(tomllib.loads(text, parse_float=Decimal), EXAMPLE, {}, kind=_Asking)
    return dict(_Asking.noted)


def meanings() -> dict[tuple[str, str], tuple[str, str]]:
    """What the example writes and says of each key: (table, key) to its value and its comment."""
    found: dict[tuple[str, str], tuple[str, str]] = {}
    table, above, last = "", [], None  # type: str, list[str], tuple[str, str] | None
    for line in EXAMPLE.read_text().splitlines():
        header = _TABLE.match(line)
        if header is not None:
            table, above, last = _table(header["name"].replace('"', "")), [], None
        elif (more := _MORE.match(line)) is not None and last is not None:
            value, comment = found[last]
            found[last] = value, f"{comment} {more['comment']}"
        elif (key := _KEY.match(line)) is not None:
            last = (table, key["key"])
            found.setdefault(last, (key["value"], " ".join([*above, key["comment"] or ""]).strip()))
            above = []
        else:
            above = [*above, line[2:]] if line.startswith("# ") else []
    return found


def _shown(value: object) -> str:
    if value is None or value == "":
        return ""
    if isinstance(value, float | Decimal):
        value = f"{value:f}".rstrip("0").rstrip(".") if "." in f"{value:f}" else f"{value:f}"
    return f"`{value}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


_PRICES = "models.price"
_ROWS = (f"{_PRICES}.long_context", f"{_PRICES}.variants")
_ROWS_SAID = f"""\
A table of `[{_PRICES}.variants]`, and each of the list `long_context`, has the same keys: a price that it does not
state is the one above. A variant may also be a number, which multiplies the token prices. Prices of `long_context` hold
for requests with more input tokens than its key `above`.
"""


def configuration() -> str:
    """The page of every key."""
    said, asked = meanings(), keys()
    tables: dict[str, list[str]] = {}
    for (table, key), (kind, default) in asked.items():
        if not table or kind in ("table", "list of tables") or table.startswith(_ROWS):
            continue
        value, meaning = said.get((table, key), ("", ""))
        usual = "" if "default:" in meaning.lower() else _shown(default)
        cells = (f"`{key}`", kind or _kind(value) or _alike(table, key, asked), usual, meaning)
        tables.setdefault(table, []).append(f"| {' | '.join(map(_cell, cells))} |")
    lines = [
        "# Reference of the configuration\n",
        f"{_WRITTEN} from the readers of `gateway/config/` and the comments of",
        "[`gateway.example.toml`](../../gateway.example.toml). [Configuration](../configuration.md) explains how the",
        "file is read, and what belongs together.\n",
    ]
    for table, rows in tables.items():
        name = f"[[{table}]]" if table in ("models", "models.targets") else f"[{table}]"
        lines += [f"## `{name}`\n", "| key | value | default | meaning |", "|---|---|---|---|", *rows, ""]
        if table == _PRICES:
            lines.append(_ROWS_SAID)
    return "\n".join(lines)


def _kind(value: str) -> str:
    """What a value of the example is, whose reader takes it apart itself."""
    if value in ("true", "false"):
        return "`true` or `false`"
    for begin, kind in (("[", "list"), ("{", "table"), ('"', "text")):
        if value.startswith(begin):
            return kind
    return "number" if value[:1].isdigit() else ""


def _alike(table: str, key: str, asked: Asked) -> str:
    """The kind of a key that the example does not state: that of the same key elsewhere, or of all beside it."""
    same = {kind for (_, name), (kind, _) in asked.items() if name == key and kind}
    same = same or {_kind(value) for (_, name), (value, _) in meanings().items() if name == key and value}
    beside = {kind for (name, _), (kind, _) in asked.items() if name == table and kind}
    return next((found.pop() for found in (same, beside) if len(found) == 1), "text")


# -- the APIs ------------------------------------------------------------------------------------------------------

Json = Mapping[str, Any]


def data_plane_page() -> str:
    """The page of the public listener."""
    document = data_plane.document()
    lines = [
        "# Reference of the public API\n",
        f"{_WRITTEN} from the OpenAPI document that `codegrex-gateway openapi` prints.",
        "[The README](../../README.md#requests) has the first requests, [the IDE guide](../ide.md) what to do with the",
        "answers.\n",
        f"{document['info']['description']}\n",
        "The token is sent in one of these headers:\n",
    ]
    for name, scheme in document["components"]["securitySchemes"].items():
        lines.append(f"- `{scheme.get('name', 'Authorization: Bearer')}`: {scheme['description']}" if name else "")
    lines.append("")
    tags: dict[str, list[tuple[str, str, Json]]] = {}
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            tags.setdefault(operation["tags"][0], []).append((method.upper(), path, operation))
    for tag, operations in tags.items():
        lines += [f"## {tag}\n", *_operations(operations), *_headers_sent(operations), *_answers(operations)]
    return "\n".join([*lines, *_schemas(document)])


def _operations(operations: list[tuple[str, str, Json]]) -> Iterator[str]:
    yield "| request | what it does |"
    yield "|---|---|"
    for method, path, operation in operations:
        more = operation.get("externalDocs")
        summary = f"[{operation['summary']}]({more['url']})" if more else operation["summary"]
        without = " (without a token)" if operation.get("security") == [] else ""
        yield f"| `{method} {path}` | {_cell(summary)}{without} |"
    yield ""


def _headers_sent(operations: list[tuple[str, str, Json]]) -> Iterator[str]:
    rows: dict[str, None] = {}
    for _, _, operation in operations:
        for one in operation.get("parameters", ()):
            rows[f"| `{one['name']}` | {one['in']} | {_cell(one.get('description', ''))} |"] = None
    if rows:
        yield from ("| parameter | where | meaning |", "|---|---|---|", *rows, "")


def _answers(operations: list[tuple[str, str, Json]]) -> Iterator[str]:
    """What is answered, over all operations of a group: statuses with their codes, and headers."""
    statuses: dict[str, dict[str, None]] = {}
    headers: dict[str, str] = {}
    for _, _, operation in operations:
        for status, answer in operation["responses"].items():
            described = answer.get("headers", {})
            codes = described.get("x-error-code", {}).get("schema", {}).get("enum", ())
            for said in [f"`{code}`" for code in codes] or [answer["description"]]:
                statuses.setdefault(status, {}).setdefault(said)
            for name, one in described.items():
                headers.setdefault(name, one["description"])
    yield from ("| status | answer |", "|---|---|")
    for status in sorted(statuses, key=lambda one: (one == "default", one)):
        yield f"| {status} | {_cell(' '.join(statuses[status]))} |"
    yield from ("", "| header of an answer | meaning |", "|---|---|")
    for name, description in headers.items():
        yield f"| `{name}` | {_cell(description)} |"
    yield ""


def internal_page() -> str:
    """The page of the API for services."""
    document = internal.document(OPERATIONS)
    lines = [
        "# Reference of the internal API\n",
        f"{_WRITTEN} from the OpenAPI document that the internal listener has at `/internal/openapi.json`.",
        "[The billing guide](../billing.md) explains the calls in the order in which a service needs them.\n",
        "A service sends its token as `Authorization: Bearer`; the token needs the scope of the call. Errors are",
        "problem details (RFC 9457). Amounts are integer micro-credits, times Unix milliseconds.\n",
        "| call | scope | what it does | body | answer | errors |",
        "|---|---|---|---|---|---|",
    ]
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            body = one.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
            answer = one["responses"]["200"]["content"]["application/json"]["schema"]
            statuses = " ".join(status for status in one["responses"] if status != "200")
            lines.append(
                f"| `{method.upper()} {path}` | `{one['security'][0]['service'][0]}` | {_cell(one['summary'])} "
                f"| {_type(body) if body else ''} | {_type(answer)} | {statuses} |"
            )
    lines += ["", "| parameter | call | where | meaning |", "|---|---|---|---|"]
    for path, methods in document["paths"].items():
        for method, one in methods.items():
            for parameter in one["parameters"]:
                if parameter["in"] != "path":
                    call = f"`{method.upper()} {path}`"
                    lines.append(
                        f"| `{parameter['name']}` | {call} | {parameter['in']} | {_cell(parameter['description'])} |"
                    )
    return "\n".join([*lines, "", *_schemas(document)])


def _schemas(document: Json) -> Iterator[str]:
    yield "## Types\n"
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield f"### {name}\n"
        if "description" in schema:
            yield f"{' '.join(schema['description'].replace('``', '`').split())}\n"
        if "enum" in schema:
            yield f"One of {' '.join(f'`{value}`' for value in schema['enum'])}.\n"
            continue
        required = set(schema.get("required", ()))
        yield "| member | type | required |"
        yield "|---|---|---|"
        for member, inner in schema.get("properties", {}).items():
            yield f"| `{member}` | {_cell(_type(inner))} | {'yes' if member in required else 'no'} |"
        yield ""


def _type(schema: Json) -> str:
    """A schema in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rsplit("/", 1)[1]
        return f"[{name}](#{name.lower()})"
    if "anyOf" in schema:
        return " or ".join(_type(one) for one in schema["anyOf"])
    if "enum" in schema:
        return " or ".join(f"`{value}`" for value in schema["enum"])
    kind = schema.get("type", "anything")
    if kind == "array":
        return f"list of {_type(schema.get('items', {}))}"
    if isinstance(kind, list):
        return " or ".join(kind)
    if kind == "object" and "properties" in schema:
        return "object of " + ", ".join(f"`{name}`" for name in schema["properties"])
    if kind == "object" and isinstance(more := schema.get("additionalProperties"), Mapping) and more:
        return f"object of {_type(more)} by name"
    bounds = [f"{word} {schema[key]}" for key, word in (("minimum", "from"), ("maximum", "to")) if key in schema]
    bounds += [f"up to {schema['maxLength']} characters"] if "maxLength" in schema else []
    return " ".join([str(kind), *bounds])


PAGES = {"api.md": data_plane_page, "internal-api.md": internal_page, "configuration.md": configuration}
"""The pages, by their names in `FOLDER`."""


def main() -> None:
    FOLDER.mkdir(exist_ok=True)
    for name, page in PAGES.items():
        (FOLDER / name).write_text(page())


if __name__ == "__main__":
    main()
