"""``[oauth]``: which apps may ask people to sign in, beside the first-party one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.config.reader import Section, check_name


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """An app that may ask people to sign in: its ``client_id``, and its name on the consent page."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class OAuthConfig:
    """The public clients beside the first-party one."""

    clients: Mapping[str, OAuthClient] = field(default_factory=dict)


def read_oauth(root: Section) -> OAuthConfig:
    section = root.table("oauth")
    clients: dict[str, OAuthClient] = {}
    for name, inner in section.tables("clients"):
        check_name(inner, name, "a client id")
        clients[name] = OAuthClient(name=name, title=inner.string("title", name))
        inner.close()
    section.close()
    return OAuthConfig(clients=clients)
