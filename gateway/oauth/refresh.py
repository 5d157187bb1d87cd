"""A signed-in device: one session whose tokens are refreshed, and the family of its refresh tokens.

Rules:

1. The family of refresh tokens (`gateway.auth.principal.family_key`) and the session ``s:{<sid>}`` have the same
   id: the session is revoked, limited or listed, however often its tokens change. The store has only keyed digests.
2. A refresh token is used once. Its successors are derived from it with the identity key, so that a client whose answer
   was lost gets the same ones again for `GRACE_S`, although they are not stored.
3. A refresh token that is used again later was stolen or copied: the session is revoked (RFC 9700 section 4.14.2). The
   check value at its end proves, without the store, that it is a genuine old token and not a forged one.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass
from enum import StrEnum
from functools import partial

from gateway.auth import sessions
from gateway.auth.functions import call_for_texts
from gateway.auth.identity import digest
from gateway.auth.principal import SID_LENGTH, TOKEN_PREFIX, Client, family_key, session_key, token_digest
from gateway.auth.secret_text import SECRET_LENGTH, derived, drawn
from gateway.oauth.device import Redeemed
from gateway.oauth.software import readable
from metering.accounts import living
from metering.clock import DAY_SECONDS

REFRESH_PREFIX = "cgx_rt_"
CHECK_LENGTH = 11  # base 62, 64 bits: who guesses it revokes one session, and opens none
ACCESS_LIFE_S = 900
REFRESH_LIFE_S = 90 * DAY_SECONDS
GRACE_S = 30

_REFRESH = re.compile(
    rf"{REFRESH_PREFIX}([0-9A-Za-z]{{{SID_LENGTH}}})_([0-9A-Za-z]{{{SECRET_LENGTH}}})([0-9A-Za-z]{{{CHECK_LENGTH}}})"
)


@dataclass(frozen=True, slots=True)
class Tokens:
    """What a client is given. ``expires_in`` is the access token's life in seconds."""

    sid: str
    access_token: str
    refresh_token: str
    expires_in: int
    scope: str


class RefreshDenied(StrEnum):
    """Why a refresh token opens nothing. To the client all are `invalid_grant` (RFC 6749 section 5.2)."""

    INVALID = "invalid"
    EXPIRED = "expired"
    REVOKED = "revoked"


@dataclass(frozen=True, slots=True)
class Reused:
    """An old refresh token was used again: its session has just been revoked."""

    sid: str
    pid: str


def _refresh_token(key: bytes, sid: str, secret: str) -> str:
    return f"{REFRESH_PREFIX}{sid}_{secret}{derived(key, 'refresh-check', f'{sid}{secret}', CHECK_LENGTH)}"


def sid_of_refresh(key: bytes, token: str) -> str | None:
    """The session of a refresh token that this gateway made, whether or not it is still good."""
    match = _REFRESH.fullmatch(token)
    if match is None:
        return None
    genuine = hmac.compare_digest(token.encode(), _refresh_token(key, match[1], match[2]).encode())
    return match[1] if genuine else None


async def begin(client: Client, key: bytes, redeemed: Redeemed, *, client_id: str) -> Tokens:
    """Make the session of an approved device. Raises `AccountGone` and redis-py's errors."""
    issued = await sessions.create(
        client,
        key,
        pid=redeemed.pid,
        tier=redeemed.tier,
        life_s=ACCESS_LIFE_S,
        keep_s=REFRESH_LIFE_S,
        app_version=redeemed.app_version,
        platform=redeemed.platform,
    )
    refresh = _refresh_token(key, issued.sid, drawn())
    fields: dict[sessions.Value, sessions.Value] = {
        "digest": digest(key, "refresh", refresh),
        "client": client_id,
        "scope": redeemed.scope,
        "until": issued.until_ms,
    }
    async with client.pipeline(transaction=True) as pipe:
        pipe.hset(family_key(issued.sid), mapping=fields)
        pipe.pexpireat(family_key(issued.sid), issued.until_ms + sessions.EXPIRED_GRACE_MS)
        await pipe.execute()
    await living.unless_gone(client, redeemed.pid, partial(client.delete, family_key(issued.sid)))
    return Tokens(issued.sid, issued.access_token, refresh, issued.expires_in, redeemed.scope)


async def rotate(
    client: Client, key: bytes, token: str, *, client_id: str = "", app_version: str = ""
) -> Tokens | RefreshDenied | Reused:
    """The successors of a refresh token: the same ones however many ask within the grace.

    Args:
        client: The store.
        key: The identity key.
        token: As it came.
        client_id: Must be the family's own where given (public clients need not say it).
        app_version: Replaces the session's if it is `readable`: the app may have been updated.

    Raises:
        redis.RedisError: The store cannot answer; the same call may be repeated.
    """
    sid = sid_of_refresh(key, token)
    session = None if sid is None else await sessions.get(client, sid)
    if sid is None or session is None or not await living.lives(client, session.pid):
        return RefreshDenied.INVALID
    successor = _refresh_token(key, sid, derived(key, "refresh-after", token))
    access = f"{TOKEN_PREFIX}{sid}_{derived(key, 'access-after', token)}"
    state, *rest = await call_for_texts(
        client,
        "cgxa1_rotate",
        (family_key(sid), session_key(sid)),
        digest(key, "refresh", token),
        digest(key, "refresh", successor),
        token_digest(key, access),
        ACCESS_LIFE_S * 1_000,
        GRACE_S * 1_000,
        client_id,
        readable(app_version).version,
    )
    if state == "ok":
        return Tokens(sid, access, successor, int(rest[0]) // 1_000, rest[1])
    if state == "reused":
        return Reused(sid, rest[0])
    return RefreshDenied(state)
