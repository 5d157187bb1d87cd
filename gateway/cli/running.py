"""Asks a running gateway over its internal listener."""

from __future__ import annotations

from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from gateway.config import Config

PATIENCE = 5.0


def internal_url(config: Config) -> str | None:
    """Where the internal listener is; ``None``: on any free port, so that only ``--url`` can tell."""
    if not config.internal.port:
        return None
    host = f"[{config.internal.host}]" if ":" in config.internal.host else config.internal.host
    return f"http://{host}:{config.internal.port}"


def ask(url: str, path: str) -> bytes:
    """The body of an answer, whatever its status. Raises OSError if nothing answers, or no HTTP server does."""
    try:
        parts = urlsplit(url)
        connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)  # no proxy variable is read
    except ValueError:
        raise OSError("not a URL") from None
    try:
        connection.request("GET", path)
        return connection.getresponse().read()
    except HTTPException:
        raise OSError("no HTTP server") from None
    finally:
        connection.close()
