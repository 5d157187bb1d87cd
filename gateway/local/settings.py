"""The settings of the local broker: a small file, and the options of the command line.

It is not the configuration of the hosted gateway: the broker does not start if it has a provider table or a key.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from gateway.local.address import Address, AddressRefused, Tcp, parse_address
from gateway.local.credentials import in_configuration, in_environment

PORT: Final = 8081
MAX_BODY_BYTES: Final = 32 << 20


class SettingsError(Exception):
    """The broker must not start like this. ``faults`` are lines for people; none holds a value."""

    def __init__(self, *faults: str) -> None:
        super().__init__("settings")
        self.faults = faults


@dataclass(frozen=True, slots=True)
class Settings:
    """How one broker runs.

    Attributes:
        port: Where it listens on 127.0.0.1; 0 takes any free port.
        engines: Addresses that the user named.
        usual_ports: Look at the usual ports of the known engines too.
        origins: Web origins that may call, such as an editor's own ``vscode-webview://...``.
        always_translate: Translate Messages and Responses even for an engine that has them itself.
        isolate: Run in an empty network namespace.
        engine_command: With ``isolate``, the engine to start in there.
        max_body_bytes: The largest request body.
    """

    port: int = PORT
    engines: tuple[Address, ...] = ()
    usual_ports: bool = True
    origins: frozenset[str] = field(default_factory=frozenset)
    always_translate: bool = False
    isolate: bool = False
    engine_command: tuple[str, ...] = ()
    max_body_bytes: int = MAX_BODY_BYTES


def refuse_credentials(environment: Mapping[str, str], table: Mapping[str, Any]) -> None:
    """Refuse to start where credentials can be seen.

    Raises:
        SettingsError: It names each variable and each key.
    """
    seen = in_environment(environment)
    faults = [f"{name} is set: local mode accepts no cloud credentials. Start it with env -u {name}." for name in seen]
    faults += [
        f"{name} does not belong in a file of local mode, which accepts no providers and no credentials: remove it."
        for name in in_configuration(table)
    ]
    if faults:
        raise SettingsError(*faults)


def read_file(path: Path) -> dict[str, Any]:
    """A settings file as it is. Raises `SettingsError`."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError):
        raise SettingsError("The settings file cannot be read.") from None
    except tomllib.TOMLDecodeError:
        raise SettingsError("The settings file is not valid TOML.") from None


def from_table(table: Mapping[str, Any]) -> Settings:
    """The settings of a file.

    Keys: ``port``, ``engines``, ``usual_ports``, ``origins``, ``translate``, ``max_body_bytes``.

    Raises:
        SettingsError: A key is unknown, or a value is of another kind.
    """
    faults = [f"{name} is not a setting of local mode." for name in table if name not in _KINDS]
    faults += [f"{name} has a value of another kind." for name, value in table.items() if not _fits(name, value)]
    if faults:
        raise SettingsError(*faults)
    return replace(
        Settings(),
        port=table.get("port", PORT),
        engines=addresses(table.get("engines", ())),
        usual_ports=table.get("usual_ports", True),
        origins=frozenset(table.get("origins", ())),
        always_translate=table.get("translate", False),
        max_body_bytes=table.get("max_body_bytes", MAX_BODY_BYTES),
    )


def addresses(texts: Sequence[str]) -> tuple[Address, ...]:
    """Engines' addresses. Raises `SettingsError`."""
    try:
        return tuple(parse_address(text) for text in texts)
    except AddressRefused as refused:
        raise SettingsError(str(refused)) from None


def check(settings: Settings) -> Settings:
    """Refuse what can't work together. Raises `SettingsError`."""
    if settings.engine_command and not settings.isolate:
        raise SettingsError("--engine-command starts an engine in an isolated namespace: it needs --isolate.")
    if settings.isolate and not settings.engine_command and all(isinstance(one, Tcp) for one in settings.engines):
        raise SettingsError(
            "An isolated broker does not reach the ports of this machine: give it --engine-command, or an engine with "
            "a Unix socket (--engine unix:/path)."
        )
    if any(isinstance(one, Tcp) and one.port == settings.port for one in settings.engines):
        raise SettingsError("An engine's address is the broker's own port.")
    return settings


_KINDS: Final[Mapping[str, type]] = {
    "port": int,
    "engines": list,
    "usual_ports": bool,
    "origins": list,
    "translate": bool,
    "max_body_bytes": int,
}


def _fits(name: str, value: Any) -> bool:
    kind = _KINDS.get(name)
    if kind is None:
        return True
    if kind is int:
        return type(value) is int and 0 <= value < (65_536 if name == "port" else 1 << 31)
    if isinstance(value, list):
        return kind is list and all(isinstance(item, str) for item in value)
    return isinstance(value, kind)
