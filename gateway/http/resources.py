"""The resources of the caller's account, which SDKs read with their base URL.

Pages and sign-in are found only by their exact path. These are found in every spelling in which a provider's path is
found (`providers.paths.canonical`).
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from providers.paths import canonical


class Resource(StrEnum):
    ACCOUNT = "/account"
    USAGE_RECORD = "/requests/"  # a request's id follows


# The base URLs under which each is served: with /v1 or without, and with Google's for what an answer's id leads to.
_BASES: Final = {Resource.ACCOUNT: {""}, Resource.USAGE_RECORD: {"", "/v1beta"}}


def resource_of(path: str) -> tuple[Resource, str] | None:
    """The resource of a path, and the id of the request that it names (decoded, not checked)."""
    if "account" not in path and "requests" not in path and "%" not in path:
        return None  # most requests are for a provider
    found = canonical(path)
    if found is None:
        return None
    if found.rest == Resource.ACCOUNT:
        resource, rid = Resource.ACCOUNT, ""
    elif found.rest.startswith(Resource.USAGE_RECORD):
        resource, rid = Resource.USAGE_RECORD, found.rest.removeprefix(Resource.USAGE_RECORD)
    else:
        return None
    return (resource, rid) if found.version in _BASES[resource] and "/" not in rid else None
