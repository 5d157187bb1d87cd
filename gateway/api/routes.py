"""The gateway's own paths: one table, read before a path is looked for among the providers'.

Rules:

1. The part that answers a path writes it down; here the parts' paths are put together, and nowhere else.
2. Errors on the gateway's own paths are problem details (RFC 9457), except that the OAuth endpoints answer theirs
   themselves (RFC 6749). What is not in this table is a provider's path, or an unknown one in a provider's form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, auto
from types import MappingProxyType
from typing import ClassVar, Final

from gateway.evidence.statement import WELL_KNOWN
from gateway.http.request import TOKEN_HEADERS
from gateway.http.resources import Resource, resource_of
from gateway.oauth import paths as oauth
from gateway.portal.paths import PagePath


class Part(Enum):
    """What answers one of the gateway's own paths."""

    PORTAL = auto()
    OAUTH = auto()
    STATEMENT = auto()
    ACCOUNT = auto()
    USAGE_RECORD = auto()


@dataclass(frozen=True, slots=True)
class OwnRoute:
    """One of the gateway's own paths.

    Attributes:
        part: What answers it.
        methods: The methods that it takes; None if its part decides.
        rid: The id of the request that the path names, decoded, not checked; empty if it names none.
    """

    part: Part
    methods: tuple[str, ...] | None = None
    rid: str = ""
    family: ClassVar[None] = None
    """No provider's form, see rule 2."""


_PORTAL: Final = OwnRoute(Part.PORTAL)
_OAUTH: Final = OwnRoute(Part.OAUTH)
_ACCOUNT: Final = OwnRoute(Part.ACCOUNT, ("GET",))
TABLE: Final[Mapping[str, OwnRoute]] = MappingProxyType(
    {
        **dict.fromkeys(PagePath, _PORTAL),
        **dict.fromkeys((oauth.DEVICE_AUTHORIZATION, oauth.TOKEN, oauth.REVOCATION, oauth.METADATA), _OAUTH),
        WELL_KNOWN: OwnRoute(Part.STATEMENT, ("GET",)),
    }
)
"""The paths that are found only exactly as written."""


def find(path: str, headers: Mapping[str, object]) -> OwnRoute | None:
    """The gateway's own route of a path, if it is one.

    Args:
        path: As sent (percent-encoded), without the query.
        headers: Of the request; finds names whatever their case.
    """
    found = TABLE.get(path)
    if found is not None:
        # A browser has no token: with one, it is an SDK whose base URL has no /v1.
        if path == PagePath.ACCOUNT and any(name in headers for name in TOKEN_HEADERS):
            return _ACCOUNT
        return found
    if path.startswith(oauth.PREFIX):
        return _OAUTH
    resource = resource_of(path)
    if resource is None:
        return None
    kind, rid = resource
    return _ACCOUNT if kind is Resource.ACCOUNT else OwnRoute(Part.USAGE_RECORD, ("GET",), rid)
