"""The ``[portal]`` and ``[oauth]`` of the configuration: where people sign in, and which apps may ask them to."""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from gateway.config import OAuthClient, OAuthConfig, PortalConfig, is_loopback
from gateway.config_reader import Section

_CLIENT_ID = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}")


def read_portal(section: Section) -> PortalConfig:
    url = section.string("url").rstrip("/")
    section.close()
    if not url:
        return PortalConfig()
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
    except ValueError:
        parts, host = urlsplit(""), ""
    if not host or parts.scheme not in ("http", "https") or parts.path or parts.query or parts.fragment:
        section.fault("url", "is not an origin", "write https://HOST, without a path")
    elif parts.scheme == "http" and not is_loopback(host):
        section.fault("url", "is plain http beyond this machine", "use https")
    return PortalConfig(url)


def read_oauth(section: Section) -> OAuthConfig:
    clients: dict[str, OAuthClient] = {}
    for name, inner in section.tables("clients"):
        if not _CLIENT_ID.fullmatch(name):
            inner.fault("", "is not a client id", "use lower-case letters, digits, - and _, 32 at most")
        clients[name] = OAuthClient(name, inner.string("title", name))
        inner.close()
    section.close()
    return OAuthConfig(clients)
