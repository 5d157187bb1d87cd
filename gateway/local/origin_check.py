"""Refuses web pages: engines on the user's machine are for programs, not for pages in a browser.

1. ``Host`` must be a loopback name with the broker's port. A page whose own name was rebound to
   127.0.0.1 (DNS rebinding) still sends its own name here.
2. ``Origin`` must be absent or allowed by name. Browsers send it with every request of a script that
   could do harm; programs don't send it. ``null`` is an origin like any other.
3. ``Sec-Fetch-Site`` (https://www.w3.org/TR/fetch-metadata/) identifies the other requests of pages, such as images.

An origin that was allowed by name gets the CORS headers (https://fetch.spec.whatwg.org/#http-cors-protocol)
that let its script read the answer; no other one ever gets any.
"""

from __future__ import annotations

from typing import Final

from multidict import MultiMapping

from gateway.errors import ForeignOrigin

_NAMES: Final = ("127.0.0.1", "localhost", "[::1]")
_OURS: Final = frozenset(("none", "same-origin"))


class OriginCheck:
    """Which requests a broker accepts."""

    def __init__(self, port: int, allowed: frozenset[str] = frozenset()) -> None:
        self._hosts = frozenset(f"{name}:{port}" for name in _NAMES)
        self._allowed = allowed

    def check(self, headers: MultiMapping[str]) -> dict[str, str]:
        """Refuse a request of a web page. Returns the CORS headers of the answer, if there are any.

        Raises:
            ForeignOrigin: By its host, its origin or its fetch metadata.
        """
        hosts = headers.getall("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self._hosts:
            raise ForeignOrigin
        origins = headers.getall("Origin", [])
        if any(origin not in self._allowed for origin in origins):
            raise ForeignOrigin
        if not origins and any(site not in _OURS for site in headers.getall("Sec-Fetch-Site", [])):
            raise ForeignOrigin
        return {"Access-Control-Allow-Origin": origins[0], "Vary": "Origin"} if origins else {}


def preflight(headers: MultiMapping[str]) -> dict[str, str]:
    """The preflight answer to an allowed origin; join it with the headers of `check`."""
    found = {"Access-Control-Allow-Methods": "GET, POST", "Access-Control-Max-Age": "600"}
    asked = headers.get("Access-Control-Request-Headers")
    if asked is not None:
        found["Access-Control-Allow-Headers"] = asked
    if headers.get("Access-Control-Request-Private-Network") == "true":
        found["Access-Control-Allow-Private-Network"] = "true"
    return found
