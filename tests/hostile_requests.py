"""Requests as somebody sends them who wants an error that nobody thought of.

Nothing is listed here that the code itself can tell: a door's paths come from its own tables, and the names of fields,
headers and members are those that the code asks for (`names_asked_for`). So a new path, and a new field, is tried
without being named.
"""

from __future__ import annotations

import ast
import json
import random
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote_from_bytes

ROOT = Path(__file__).parent.parent
_NAME = re.compile(r"[A-Za-z$][A-Za-z0-9_$.-]{0,39}")

# What readers of numbers, texts and documents have failed on before; as bytes, since that is what comes.
NUMBERS: tuple[bytes, ...] = (
    b"0", b"1", b"-1", b"+1", b"01", b"1_0", b"1.5", b"1e9", b"nan", b" 1", "\xb2".encode(), "\u0663".encode(),
    "\U0001d7d7".encode(), b"9" * 19, b"18446744073709551616", b"9" * 40, b"9" * 5_000, b"0" * 5_000,
)  # fmt: skip
TEXTS: tuple[bytes, ...] = (
    *NUMBERS, b"", b" ", b"-0", b"0x10", b"inf", b"1e999", b"null", b"true", b"None", b"\x7f", b"\x80", b"\xff\xfe", b"\xc3",
    b"\xed\xa0\x80", "\U0001f600".encode(), "\xe9".encode(), "\u0130".encode(), b"[", b"]", b"{", b"[" * 2_000,
    b'{"a":' * 2_000, b"%", b"%zz", b"%00", b"%ff", b"%ed%a0%80", b"%25", b"a=b", b"&", b";", b"=", b"\\", b"\\ud800", b'"',
    b"'", b"<a>", b"..", b"/", b"//", b"a" * 300, b"a" * 8_000, b"1,2", b"a,b", b", ,", b"*", b"\t", b"-", b".", b"1-1",
    b"0-0", b"1767225600000-0", b"99999999999999999999-1", b"1-1-999", b"Bearer", b"Bearer ", b"Basic Og==",
    b"Bearer \xff", b'W/"', b"==", b"e30.e30.", b"eyJhbGciOiJub25lIn0.e30.", b"a.b.c", b"[::1", b"[::1]:", b"fe80::1%25",
    b"1.2.3.4, \xff", b"::ffff:1", b"127.0.0.1:99999", b"localhost", b"2001-13-45T99:99:99Z", b"0001-01-01T00:00:00Z",
    b"Thu, 99 Foo 0000",
)  # fmt: skip
# Values of JSON that are whole, broken, deep, large and out of range.
VALUES: tuple[bytes, ...] = (
    b"null", b"true", b"false", b"0", b"-1", b"-0", b"1.5", b"1e400", b"-1e400", b"1E+2", b"9" * 19, b"9" * 400,
    b"9" * 5_000, b"0.1e-999", b'""', b'"\\ud800"', b'"\\u0000"', b'"\xff"', b'"\\x"', b'"a', '"²"'.encode(), b"[]", b"{}",
    b"[[]]", b"[null]", b"[{}]", b"[1,2]", b'["a"]', b'{"a":null}', b'{"":1}', b'{"a":1,"a":2}', b'{"\\ud800":1}', b"NaN",
    b"Infinity", b"[" * 900 + b"]" * 900, b"[" * 1_100 + b"]" * 1_100, b'{"a":' * 1_100 + b"1" + b"}" * 1_100, b"[" * 3_000,
    b"[" + b"{}," * 300 + b"{}]", b'"' + b"a" * 5_000 + b'"', b"tru", b"", b",", b"]", b"\xef\xbb\xbf1", b'{"type":"text"}',
    b'{"type":"image_url","image_url":{"url":"data:;base64,%%%"}}', b'{"type":"function","function":{"arguments":"{"}}',
    b'"data:image/png;base64,iVBORw0KGgo="', b'"2001-01-01"', b'"auto"', b'[{"role":"user","content":"x"}]', b'{"role":1}',
    b'[{"type":[]}]', b'[{"type":{"a":"b"}}]', b'{"type":"tool_use","input":[' + b"[" * 500 + b"]" * 500 + b"]}",
)  # fmt: skip
METHODS = ("GET", "POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH")
HEADERS = (
    "Accept", "Accept-Encoding", "Connection", "Content-Encoding", "Content-Length", "Content-Type", "Cookie", "Expect",
    "If-None-Match", "Origin", "Range", "Referer", "Sec-Fetch-Site", "TE", "Trailer", "Transfer-Encoding", "Upgrade",
    "User-Agent", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-HTTP-Method-Override",
)  # fmt: skip
FORM = "application/x-www-form-urlencoded"
_TYPES = (
    FORM,
    "application/json",
    "",
    "application/json; charset=utf-7",
    "text/plain",
    "multipart/form-data",
    "a/b/c;=;",
)


def names_asked_for(*folders: str, structs: bool = False) -> tuple[str, ...]:
    """What the code in these folders looks up by name: ``x.get("name")``, ``x["name"]``, ``"name" in x``.

    With ``structs``, what the fields of its classes are called as well.
    """
    found: set[str] = set()
    for folder in folders:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_bytes())):
                found.update(_asked(node))
                if structs and isinstance(node, ast.ClassDef):
                    found.update(_fields(node))
    return tuple(sorted(name for name in found if _NAME.fullmatch(name)))


def _asked(node: ast.AST) -> Iterable[str]:
    asked: list[ast.expr] = []
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in {"get", "getall"}:
        asked = node.args[:1]
    elif isinstance(node, ast.Call):
        asked = [value for value in node.args[:3] if isinstance(node.func, ast.Name) and node.func.id.startswith("_")]
    elif isinstance(node, ast.Subscript):
        asked = [node.slice]
    elif isinstance(node, ast.Compare):
        asked = [node.left]
    yield from (one.value for one in asked if isinstance(one, ast.Constant) and isinstance(one.value, str))


def _fields(node: ast.ClassDef) -> Iterable[str]:
    targets = (one.target for one in node.body if isinstance(one, ast.AnnAssign))
    return (one.id for one in targets if isinstance(one, ast.Name) and not one.id.isupper())


@dataclass(frozen=True)
class Door:
    """A listener that anybody may speak to.

    Attributes:
        host: The ``Host`` of an honest request.
        headers: Sets of headers of those who may do something there; the stranger has none.
        names: Of the fields of queries and forms, and of headers.
        members: Of JSON objects.
        bodies: Whole JSON bodies, to be spoilt in one place.
    """

    host: str
    headers: Sequence[Mapping[str, str]] = ({},)
    names: Sequence[str] = ("a",)
    members: Sequence[str] = ("a",)
    bodies: Sequence[Mapping[str, Any]] = ()
    fields: Mapping[str, str] = field(default_factory=dict)
    """What every form must have to be looked at."""


class Maker:
    """Makes requests for one door; what comes of a seed is always the same."""

    def __init__(self, door: Door, seed: bytes) -> None:
        self._door = door
        self._random = random.Random(seed)
        self._names = [name for name in door.names if "-" not in name] or ["a"]
        self._headers = [*HEADERS, *(name for name in door.names if name not in self._names)]

    def request(self, method: str, path: str) -> bytes:
        """The bytes of one request, which ask the other side to close. Its body, if it has one, is sent whole.

        ``{...}`` in the path becomes some text.
        """
        pick, door = self._random.choice, self._door
        if self._now_and_then(10):
            method = pick(METHODS)
        path = re.sub(r"\{[^}]*\}", lambda _: self._segment(), path)
        if self._now_and_then(10):
            path += pick(("/", "//", "/x", "%2f", "%ff", ":", ":x", "?", ";", "/..", "%", "%00"))
        headers = [("host", self._text() if self._now_and_then(20) else door.host.encode())]
        headers += [(name, value.encode()) for name, value in pick(door.headers).items()]
        headers += [(pick(self._headers), self._text()) for _ in range(pick((0, 1, 2, 3)))]
        body = b""
        if method not in {"GET", "HEAD"} or self._now_and_then(10):
            kind = pick(_TYPES)
            body = self._form() if kind == FORM else self._document()
            headers.append(("content-type", kind.encode()))
        body, framing = self._framed(body)
        lines = [
            b"%b %b HTTP/1.1" % (method.encode(), path.encode("utf-8", "surrogateescape") + self._query()),
            *(b"%b: %b" % (name.encode(), _line(value)) for name, value in headers if name.lower() not in _FRAMING),
            *framing,
            b"connection: close",
        ]
        return b"\r\n".join([*lines, b"", b""]) + body

    def _now_and_then(self, times: int) -> bool:
        return self._random.randrange(times) == 0

    def _text(self) -> bytes:
        if self._now_and_then(4):
            return self._random.randbytes(self._random.randrange(12))
        return self._random.choice(TEXTS)

    def _segment(self) -> str:
        """A part of a path, percent-encoded or, now and then, as it is."""
        text = self._text()
        if self._now_and_then(4):
            return re.sub(rb"[\x00-\x20/?#\x7f]", b"+", text).decode("utf-8", "surrogateescape") or "x"
        return quote_from_bytes(text, safe="") or "x"

    def _query(self) -> bytes:
        """Nothing, some fields, very many fields, or what is no query."""
        shape = self._random.randrange(10)
        if shape < 2:
            return b""
        if shape == 2:
            return b"?" + _bare(self._text())
        if shape == 3:
            return b"?" + b"&".join(b"a%d=1" % n for n in range(self._random.choice((17, 33, 65, 129, 1_100))))
        return b"?" + self._form()

    def _form(self) -> bytes:
        pairs = [(name.encode(), value.encode()) for name, value in self._door.fields.items()]
        if self._now_and_then(2):  # few of them: what is wrong with one hides what is wrong with the next
            names = [name for name in self._names if self._now_and_then(4)]
            pairs += [(name.encode(), self._random.choice(NUMBERS)) for name in names]
        else:
            names = self._random.sample(self._names, min(len(self._names), 5))
            pairs += [(self._text() if self._now_and_then(10) else name.encode(), self._text()) for name in names]
        written = _bare if self._now_and_then(3) else lambda text: quote_from_bytes(text, safe="").encode()
        return b"&".join(b"%b=%b" % (written(name), written(value)) for name, value in pairs)

    def _document(self) -> bytes:
        """JSON with one or two values spoilt, an object of the door's own names, or something else altogether."""
        pick, shape = self._random.choice, self._random.randrange(8)
        if shape == 0:
            return pick(VALUES)
        if shape == 1:
            return self._text()
        if shape < 4 or not self._door.bodies:
            return b"{" + self._members(self._random.randrange(9)) + b"}"
        body = json.dumps(pick(self._door.bodies)).encode()
        for _ in range(pick((1, 1, 2))):
            if spans := [found.span() for found in _VALUE.finditer(body)]:
                start, end = pick(spans)
                body = body[:start] + pick(VALUES) + body[end:]
        return body if self._now_and_then(2) else b"{" + self._members(2) + b", " + body[1:]

    def _members(self, count: int) -> bytes:
        pick, names = self._random.choice, self._door.members
        return b",".join(b'"%b":%b' % (pick(names).encode(), pick(VALUES)) for _ in range(count))

    def _framed(self, body: bytes) -> tuple[bytes, list[bytes]]:
        """The body in one of the ways in which it may be sent, and the headers that say so."""
        framing = []
        if self._now_and_then(4):
            coding = self._random.choice((b"gzip", b"deflate", b"zstd", b"br", b"gzip, gzip", b"identity, \xff"))
            framing.append(b"content-encoding: " + coding)
            if self._now_and_then(2):
                body = zlib.compress(body, wbits=31 if b"gzip" in coding else 15)
        if self._now_and_then(8):
            framing.append(b"transfer-encoding: chunked")
            return (b"%x\r\n%b\r\n" % (len(body), body) if body else b"") + b"0\r\n\r\n", framing
        if body or self._now_and_then(2):
            framing.append(b"content-length: %d" % len(body))
        return body, framing


# Headers that say where a body ends, which would make the other side wait for what never comes.
_FRAMING = frozenset({"content-length", "transfer-encoding", "expect", "connection", "content-encoding"})
# A value that stands after a colon: a text, a number, a word, or the innermost array or object.
_VALUE = re.compile(rb'(?<=: )(?:"(?:[^"\\]|\\.)*"|[-0-9.eE+]+|true|false|null|\[[^\[\]]*\]|\{[^{}]*\})')


def _line(value: bytes) -> bytes:
    return re.sub(rb"[\r\n\0]", b"", value)[:8_000]


def _bare(text: bytes) -> bytes:
    """As it is, but for what would end the field or the line."""
    return re.sub(rb"[\x00-\x20&#\x7f]", b"+", text)[:4_000]
