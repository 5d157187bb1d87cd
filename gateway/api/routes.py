"""The gateway's own paths: one table, which is looked up before the providers' paths.

Rules:

1. Each module that answers a path defines it; only this module joins them.
2. Errors on the gateway's own paths are problem details (RFC 9457), except on the OAuth endpoints (RFC 6749). A path
   that is not in this table is a provider's path, or an unknown one, whose error has a provider's form.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import ClassVar, Final

from gateway.evidence.statement import WELL_KNOWN
from gateway.http.request import TOKEN_HEADERS
from gateway.http.resources import Resource, resource_of
from gateway.oauth import paths as oauth
from gateway.portal import landing
from gateway.portal.paths import DOCUMENTS, LANDING, PagePath


class Part(StrEnum):
    """What answers one of the gateway's own paths; closed, so it may be logged."""

    LANDING = "landing_page"
    DOCUMENT = "document"
    ASSET = "file_of_the_portal"
    PORTAL = "page_of_the_portal"
    OAUTH = "sign_in_of_programs"
    STATEMENT = "privacy_statement"
    ACCOUNT = "account"
    USAGE_RECORD = "usage_record"


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


_LANDING: Final = OwnRoute(Part.LANDING, landing.METHODS)
_DOCUMENT: Final = OwnRoute(Part.DOCUMENT, landing.METHODS)
_PORTAL: Final = OwnRoute(Part.PORTAL)
_OAUTH: Final = OwnRoute(Part.OAUTH)
_ACCOUNT: Final = OwnRoute(Part.ACCOUNT, ("GET",))
TABLE: Final[Mapping[str, OwnRoute]] = MappingProxyType(
    {
        **dict.fromkeys(PagePath, _PORTAL),
        **dict.fromkeys((PagePath.STYLE, PagePath.SCRIPT), OwnRoute(Part.ASSET, landing.METHODS)),
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
    if path == LANDING:  # not in the table, whose paths are also told from what follows them
        return _LANDING
    found = TABLE.get(path)
    if found is not None:
        # A browser has no token: with one, it is an SDK whose base URL has no /v1.
        if path == PagePath.ACCOUNT and any(name in headers for name in TOKEN_HEADERS):
            return _ACCOUNT
        return found
    if path.startswith(oauth.PREFIX):
        return _OAUTH
    if path.startswith(DOCUMENTS) or path == DOCUMENTS[:-1]:
        return _DOCUMENT
    resource = resource_of(path)
    if resource is None:
        return None
    kind, rid = resource
    return _ACCOUNT if kind is Resource.ACCOUNT else OwnRoute(Part.USAGE_RECORD, ("GET",), rid)
