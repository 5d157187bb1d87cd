"""Token introspection (RFC 7662), for the operator's services, only on the internal listener.

Rules:

1. The answer for an inactive token is only ``{"active": false}``, for any reason (section 2.2).
2. If the store does not answer, that is an error, not an inactive token.
3. It reads the store, not a cache, so a revocation is seen at once.
"""

from __future__ import annotations

import msgspec
from aiohttp import web

from gateway.accounts.opening import OnDemand
from gateway.auth.principal import Principal, lookup
from gateway.errors import InvalidRequest
from gateway.http.fields import FORM_TYPE, fields_of
from gateway.internal.body import body_of

MOST_FIELDS = 8
_SEND = f"Send the token once, as the parameter token of a body of {FORM_TYPE}."


class Introspection(msgspec.Struct, frozen=True, omit_defaults=True):
    """The answer of section 2.2. ``sub`` is the account's id in this gateway, ``exp`` Unix seconds, ``sid`` the
    session's id.
    """

    active: bool
    scope: str = ""
    token_type: str = ""
    exp: int = 0
    sub: str = ""
    sid: str = ""


async def introspect(request: web.Request, admin: OnDemand) -> Introspection:
    """What holds of an access token or personal access token; a refresh token is never active here.

    Raises:
        InvalidRequest, RequestTooLarge: The body is not of the form.
        redis.RedisError: The store cannot answer, or what opening it raises.
    """
    try:
        text = (await body_of(request)).decode() if request.content_type == FORM_TYPE else ""
        fields = fields_of(text, MOST_FIELDS, strict=True)
    except (ValueError, InvalidRequest):
        raise InvalidRequest(_SEND, param="token") from None
    tokens = [value for name, value in fields if name == "token"]
    if len(tokens) != 1:
        raise InvalidRequest(_SEND, param="token")
    opened = await admin.get()
    found = await lookup(opened.store.client, opened.key, tokens[0])
    if not isinstance(found, Principal):
        return Introspection(active=False)
    return Introspection(
        active=True,
        scope=" ".join(sorted(found.scopes)),
        token_type="Bearer",  # noqa: S106 - RFC 6750's name
        exp=found.expires_ms // 1_000,
        sub=found.pid,
        sid=found.sid,
    )
