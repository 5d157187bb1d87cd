"""Reads TOML tables member by member, collects every fault and finds unknown keys.

A fault is one line, ``key: what is wrong; how to fix it``. It never quotes a value: the value can be a
secret. After a fault the reader continues with a default, so that one run reports all faults.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import get_close_matches
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

from gateway.addresses import is_loopback
from metering.clock import DAY_SECONDS

ENV = "env:"
EXTRA = "pip install 'codegrex-gateway[{}]'"  # how to fix that a package is missing
NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")  # of tables that the operator names: they are used in records and labels

Choice = TypeVar("Choice", bound=StrEnum)


class Faults:
    def __init__(self) -> None:
        self.lines: list[str] = []

    def add(self, key: str, wrong: str, fix: str) -> None:
        self.lines.append(f"{key}: {wrong}; {fix}")


class Section:
    """One table. Ask for every key that exists, then call `close`: what is left is unknown."""

    def __init__(
        self, table: Mapping[str, Any], name: str, faults: Faults, env: Mapping[str, str], folder: Path
    ) -> None:
        self.name = name
        self.faults = faults
        self._table = table
        self._env = env
        self._folder = folder
        self._asked: set[str] = set()

    @property
    def keys(self) -> tuple[str, ...]:
        """The keys that the table states."""
        return tuple(self._table)

    def key(self, key: str) -> str:
        """The full name of a member, or of the table itself if ``key`` is empty."""
        return ".".join(part for part in (self.name, key) if part)

    def fault(self, key: str, wrong: str, fix: str) -> None:
        self.faults.add(self.key(key), wrong, fix)

    def has(self, key: str) -> bool:
        self._asked.add(key)
        return key in self._table

    def raw(self, key: str) -> Any:
        self._asked.add(key)
        return self._table.get(key)

    def close(self) -> None:
        for key in self._table:
            if key in self._asked:
                continue
            near = get_close_matches(key, self._asked, n=1)
            fix = f"did you mean {near[0]}?" if near else "remove it"
            self.fault(key, "is not a key", fix)

    def require(self, key: str, fix: str) -> bool:
        if self.has(key):
            return True
        self.fault(key, "is missing", fix)
        return False

    def string(self, key: str, default: str = "") -> str:
        """A text; ``env:NAME`` means the value of that environment variable."""
        if not self.has(key):
            return default
        return self._text(self._table[key], key, default)

    def variable(self, name: str) -> str:
        """An environment variable that somebody else than the operator sets; empty without one."""
        return self._env.get(name, "")

    def secret(self, key: str, *, needed: bool) -> str:
        """A text like `string`; if it is not ``needed``, one from an unset variable is empty."""
        value = self.raw(key)
        if not needed and isinstance(value, str) and value.startswith(ENV):
            return self._env.get(value.removeprefix(ENV), "")
        return self.string(key)

    def strings(self, key: str) -> tuple[str, ...]:
        """A list of texts; a single text is a list of one."""
        if not self.has(key):
            return ()
        value = self._table[key]
        items = value if isinstance(value, list) else [value]
        return tuple(text for item in items if (text := self._text(item, key, "")))

    def _text(self, value: Any, key: str, default: str) -> str:
        if not isinstance(value, str):
            self.fault(key, "is not a text", "write it in quotes")
            return default
        if value.startswith(ENV):
            name = value.removeprefix(ENV)
            if not self._env.get(name):
                self.fault(key, f"the environment variable {name} is not set", f"export {name}")
                return default
            text: str = self._env[name]
        else:
            text = value
        if not text or not text.isprintable():
            self.fault(key, "is empty or holds unprintable characters", "write a printable text")
            return default
        return text

    def integer(self, key: str, default: int, low: int, high: int = 2**53) -> int:
        if not self.has(key):
            return default
        value = self._table[key]
        if isinstance(value, bool) or not isinstance(value, int):
            self.fault(key, "is not a whole number", f"write one from {low} to {high}")
            return default
        if not low <= value <= high:
            self.fault(key, "is out of range", f"write a number from {low} to {high}")
            return default
        return value

    def decimal(self, key: str, default: Decimal) -> Decimal:
        if not self.has(key):
            return default
        value = self.number(self._table[key])
        if value is None:
            self.fault(key, "is not a number", "write a decimal number without quotes")
            return default
        return value

    @staticmethod
    def number(value: Any) -> Decimal | None:
        """A finite TOML number as a `Decimal`, exactly as written; else ``None``."""
        if isinstance(value, bool) or not isinstance(value, int | Decimal):
            return None
        number = Decimal(value)
        return number if number.is_finite() else None

    def seconds(self, key: str, default: float, *, zero: bool = False) -> float:
        """Seconds; ``zero`` says that 0 has a meaning too."""
        value = self.decimal(key, Decimal(str(default)))
        if not (Decimal("0.001") <= value <= DAY_SECONDS or (zero and value == 0)):
            least = "0, or " if zero else ""
            self.fault(key, "is out of range", f"write {least}seconds from 0.001 to 86400")
            return default
        return float(value)

    def boolean(self, key: str, default: bool) -> bool:
        if not self.has(key):
            return default
        value = self._table[key]
        if not isinstance(value, bool):
            self.fault(key, "is neither true nor false", "write true or false without quotes")
            return default
        return value

    def choice(self, key: str, default: Choice) -> Choice:
        if not self.has(key):
            return default
        values = type(default)
        try:
            return values(self._table[key])
        except ValueError:
            self.fault(key, "is not one of the values", "write one of " + ", ".join(values))
            return default

    def path(self, key: str, default: str | None = None) -> Path | None:
        """A path; a relative one starts at the folder of the configuration file."""
        text = self.string(key, default or "")
        return self._folder / Path(text).expanduser() if text else None

    def table(self, key: str) -> Section:
        """The table at ``key``, or an empty one."""
        value = self.raw(key)
        if value is None:
            value = {}
        elif not isinstance(value, dict):
            self.fault(key, "is not a table", f"write [{self.key(key)}]")
            value = {}
        return self.inner(value, key)

    def tables(self, key: str) -> Iterator[tuple[str, Section]]:
        """The named tables under ``key``: (name, table)."""
        outer = self.table(key)
        for name in outer._table:  # noqa: SLF001 - the same class
            yield name, outer.table(name)

    def array(self, key: str) -> Iterator[Section]:
        """The tables of the list at ``key``."""
        value = self.raw(key)
        if value is None:
            return
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.fault(key, "is not a list of tables", "write each as a table")
            return
        for index, item in enumerate(value):
            yield self.inner(item, f"{key}[{index}]")

    def inner(self, table: Mapping[str, Any], key: str) -> Section:
        return type(self)(table, self.key(key), self.faults, self._env, self._folder)


def check_name(section: Section, name: str, what: str = "a name") -> None:
    """Note a fault if ``name``, which the operator gave to this table, is not a `NAME`."""
    if not NAME.fullmatch(name):
        section.fault("", f"is not {what}", "use lower-case letters, digits, - and _, 32 at most")


def check_url(section: Section, key: str, url: str) -> bool:
    """Whether ``url`` is https, or http to this machine, without credentials and fragment. Note a fault if not."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        good = (
            bool(host)
            and not (parts.username or parts.password or parts.fragment)
            and parts.scheme in ("http", "https")
        )
        secure = parts.scheme == "https" or is_loopback(host)
    except ValueError:
        good = secure = False
    if not good:
        section.fault(key, "is not an address", "write https://HOST/PATH")
    elif not secure:
        section.fault(key, "is plain http beyond this machine", "use https")
    return good and secure


def read_ca_file(section: Section) -> Path | None:
    """The setting ``ca_file``: certificate authorities that are trusted instead of the system's."""
    path = section.path("ca_file")
    if path is not None:
        try:
            ssl.create_default_context(cafile=str(path))
        except (OSError, ssl.SSLError):
            section.fault("ca_file", "is not a file of PEM certificates", "fix the path or the file")
    return path


def is_installed(package: str) -> bool:
    """Whether a package of an extra can be imported, by its module's name."""
    try:
        return find_spec(package) is not None
    except ModuleNotFoundError:  # of its parent
        return False
