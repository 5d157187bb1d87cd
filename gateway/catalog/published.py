"""The published price list as a file: workers read it instead of importing genai-prices.

Rules:

1. The list is compiled in a separate process (`gateway.catalog.compile`), once per version of
   genai-prices and per dated price change, and replaced as a whole.
2. A list has closed names, and rules for dated names. Records contain the list's own name, never the text that a rule
   matched.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from decimal import Decimal
from importlib.metadata import version
from pathlib import Path
from typing import Literal, TypeAlias

import msgspec

from gateway import variables
from gateway.config import Config, ConfigError
from metering import clock
from providers.dialect import Family

FORMAT = 2
COMPILE_TIMEOUT = 120

Rule: TypeAlias = Callable[[str], bool]
StoredRow: TypeAlias = dict[str, tuple[tuple[int, Decimal], ...]]


class Match(msgspec.Struct, frozen=True, omit_defaults=True):
    """A rule on a model's name: a test of ``text``, or ``any`` or ``all`` of several."""

    op: Literal["equals", "starts_with", "ends_with", "contains", "regex", "any", "all"]
    text: str = ""
    of: tuple[Match, ...] = ()

    def closed(self) -> bool:
        """Whether the names that it takes can be listed."""
        return self.op == "equals" or (self.op == "any" and all(rule.closed() for rule in self.of))

    def texts(self) -> Iterator[str]:
        """The plain texts that the rule looks for."""
        if self.op != "regex" and self.text:
            yield self.text
        for rule in self.of:
            yield from rule.texts()

    def compile(self) -> Rule:
        text = self.text
        rules = [rule.compile() for rule in self.of]
        pattern = re.compile(text if self.op == "regex" else "")
        tests: dict[str, Rule] = {
            "equals": lambda name: name == text,
            "starts_with": lambda name: name.startswith(text),
            "ends_with": lambda name: name.endswith(text),
            "contains": lambda name: text in name,
            "regex": lambda name: pattern.search(name) is not None,
            "any": lambda name: any(rule(name) for rule in rules),
            "all": lambda name: all(rule(name) for rule in rules),
        }
        return tests[self.op]


class PublishedModel(msgspec.Struct, frozen=True, omit_defaults=True):
    """A model of a price list.

    Attributes:
        family: Whose model it is.
        id: The closed name.
        names: All names that can be listed, ``id`` first.
        match: The rule for further (dated) names, or ``None``.
        row: USD prices, or ``None`` if the model cannot be served or priced: its names are
            known, so that no other model's rule takes them.
        variants: ``str(Variant)`` -> what differs from ``row``.
        factors: ``str(Variant)`` -> multiplier as (numerator, denominator).
    """

    family: Family = msgspec.field(name="kind")  # the name in the files of lists
    id: str
    names: tuple[str, ...]
    match: Match | None = None
    row: StoredRow | None = None
    variants: dict[str, StoredRow] = {}
    factors: dict[str, tuple[int, int]] = {}
    context_window: int | None = None
    deprecated: bool = False

    def bases(self) -> tuple[str, ...]:
        """The names that a dated one may extend."""
        return (*self.names, *(() if self.match is None else self.match.texts()))


class PublishedList(msgspec.Struct, frozen=True):
    """All models that may be served at their makers' prices; ``until_ms`` is the next dated change."""

    format: int
    version: str
    until_ms: int | None
    models: tuple[PublishedModel, ...]


def list_version() -> str:
    """The closed name of the installed price list, as written in records."""
    return f"genai-prices-{version('genai-prices')}"


def list_path(data_dir: Path) -> Path:
    return data_dir / f"{list_version()}.json"


def needed(config: Config) -> bool:
    """Whether any price of the catalog is a published one."""
    return not config.models or any(target.price is None for model in config.models for target in model.targets)


def prepare(config: Config, now_ms: int | None = None) -> None:
    """For the parent, before it starts workers: create the list's file if it is needed and missing.

    Raises:
        ConfigError: It cannot be made.
    """
    if not needed(config):
        return
    path = list_path(config.server.data_dir)
    now = clock.now_ms() if now_ms is None else now_ms
    try:
        found = read(path)
    except ConfigError:
        found = None
    if found is not None and (found.until_ms is None or now < found.until_ms):
        return
    command = variables.python("gateway.catalog.compile", str(path), str(now))
    fault = f"models: the published prices could not be compiled into {path}"
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        subprocess.run(  # noqa: S603 - a module of the gateway
            command, check=True, capture_output=True, timeout=COMPILE_TIMEOUT, env=variables.for_child()
        )
    except (OSError, subprocess.SubprocessError):
        fix = "check that genai-prices is installed and server.data_dir can be written"
        raise ConfigError((f"{fault}; {fix}",)) from None


def read(path: Path) -> PublishedList:
    """The compiled list. Raises `ConfigError` if it is missing, damaged or of another version."""
    try:
        found = msgspec.json.decode(path.read_bytes(), type=PublishedList)
    except (OSError, msgspec.DecodeError):
        found = None
    if found is None or found.format != FORMAT or found.version != list_version():
        raise ConfigError((f"models: {path} is not the compiled price list; restart the gateway",))
    return found
