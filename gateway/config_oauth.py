"""The ``[oauth]`` of the configuration: which apps may ask people to sign in."""

from __future__ import annotations

import re

from gateway.config import OAuthClient, OAuthConfig
from gateway.config_reader import Section

_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def read_oauth(section: Section) -> OAuthConfig:
    clients: dict[str, OAuthClient] = {}
    for name, inner in section.tables("clients"):
        if not _CLIENT_ID.fullmatch(name):
            inner.fault("", "is not a client id", "use lower-case letters, digits, - and _, 32 at most")
        clients[name] = OAuthClient(name, inner.string("title", name))
        inner.close()
    section.close()
    return OAuthConfig(clients)
