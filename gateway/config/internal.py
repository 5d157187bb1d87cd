"""``[internal]``: the listener for health, metrics and the operator's services, and what each service may do."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from gateway.config.reader import Section, check_name
from metering.accounts.audit import Actor

SHORTEST_TOKEN = 32


class ServiceScope(StrEnum):
    """What a service token may do on the internal listener."""

    USAGE_READ = "usage:read"
    USAGE_ACK = "usage:ack"
    ACCOUNTS_READ = "accounts:read"
    ACCOUNTS_WRITE = "accounts:write"
    GRANTS_WRITE = "grants:write"
    TOKENS_INTROSPECT = "tokens:introspect"
    RIGHTS_EXPORT = "rights:export"
    RIGHTS_ERASE = "rights:erase"
    RIGHTS_RESTRICT = "rights:restrict"
    RIGHTS_RECTIFY = "rights:rectify"
    RIGHTS_CHOOSE = "rights:choose"
    CONFIG_RELOAD = "config:reload"
    SWITCHES_READ = "switches:read"
    SWITCHES_WRITE = "switches:write"


@dataclass(frozen=True, slots=True)
class ServiceToken:
    """A service that may call the internal API. ``name`` is written to the audit stream, and is the name of
    its place in the usage records.
    """

    name: str
    secret: str = field(repr=False)
    scopes: frozenset[ServiceScope]


@dataclass(frozen=True, slots=True)
class InternalConfig:
    """The listener for health, metrics and the services of ``tokens``."""

    host: str = "127.0.0.1"
    port: int = 9090
    tokens: tuple[ServiceToken, ...] = ()


def read_internal(root: Section, *, needed: bool) -> InternalConfig:
    section, usual = root.table("internal"), InternalConfig()
    config = InternalConfig(
        host=section.string("host", usual.host),
        port=section.integer("port", usual.port, 0, 65_535),
        tokens=_tokens(section, needed=needed),
    )
    section.close()
    return config


def _tokens(section: Section, *, needed: bool) -> tuple[ServiceToken, ...]:
    """The services of ``[internal.tokens.NAME]``."""
    found: list[ServiceToken] = []
    for name, inner in section.tables("tokens"):
        check_name(inner, name)
        if name in set(Actor):
            inner.fault("", "is a name that the audit stream uses for another actor", "choose another")
        secret = inner.secret("token", needed=needed)
        scopes = inner.strings("scopes")
        inner.close()
        if len(set(scopes) - set(ServiceScope)):
            inner.fault("scopes", "holds one that does not exist", "use " + ", ".join(ServiceScope))
        elif not scopes:
            inner.fault("scopes", "is empty", "list what the service may do: " + ", ".join(ServiceScope))
        elif not secret:
            if needed:
                inner.fault("token", "is missing", f"write env:NAME of at least {SHORTEST_TOKEN} random characters")
        elif len(secret) < SHORTEST_TOKEN or not secret.isascii():
            inner.fault("token", "is too short or not ASCII", f"use at least {SHORTEST_TOKEN} random characters")
        else:
            found.append(ServiceToken(name, secret, frozenset(map(ServiceScope, scopes))))
    if len({token.secret for token in found}) < len(found):
        section.fault("tokens", "two services have the same token", "give each its own")
    return tuple(found)
