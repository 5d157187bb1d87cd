"""The ``[identity]`` and ``[oauth]`` of the configuration: the key of identities, and who may ask for a sign-in."""

from __future__ import annotations

import re

from gateway.config import IdentityConfig
from gateway.config.oauth_settings import OAuthClient, OAuthConfig
from gateway.config.reader import Section

MINIMUM_KEY_BYTES = 32

_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def read_identity(section: Section) -> IdentityConfig:
    text = section.string("key")
    section.close()
    if not text:
        return IdentityConfig()
    if len(text.encode()) < MINIMUM_KEY_BYTES:
        section.fault("key", "is too short", f"use at least {MINIMUM_KEY_BYTES} random characters")
    return IdentityConfig(text.encode())


def read_oauth(section: Section) -> OAuthConfig:
    clients: dict[str, OAuthClient] = {}
    for name, inner in section.tables("clients"):
        if not _CLIENT_ID.fullmatch(name):
            inner.fault("", "is not a client id", "use lower-case letters, digits, - and _, 32 at most")
        clients[name] = OAuthClient(name, inner.string("title", name))
        inner.close()
    section.close()
    return OAuthConfig(clients)
