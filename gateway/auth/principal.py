"""Who is calling: from an access token to the session it belongs to.

Rules:

1. A token is ``cgx_at_<sid>_<secret>``, a personal one ``cgx_pat_<sid>_<secret>``: the session id finds the
   session in one call, the secret has 256 bits, and the fixed start lets secret scanners find a leaked one.
2. The store holds the keyed digest of a token, never the token; digests are compared in constant
   time, before anything else about the session is looked at.
3. A session whose mode is not exactly ``cloud`` is local.
4. A session that states scopes has those and no other; one that states none has all.
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeAlias

from redis.asyncio import Redis
from redis.asyncio.cluster import RedisCluster
from redis.exceptions import RedisError

from gateway.auth import retention
from gateway.auth.identity import digest
from gateway.auth.secret_text import SECRET_LENGTH
from metering import clock
from metering.accounts import living

TOKEN_PREFIX = "cgx_at_"  # noqa: S105 - what every token starts with, not a token
PERSONAL_PREFIX = "cgx_pat_"  # the start of a personal access token
SID_LENGTH = 20
MOST_TOKENS = 3  # that are looked up for one request

Client: TypeAlias = Redis | RedisCluster
StoreFailure = RedisError  # what the functions on a `Client` raise, for callers outside this folder

_SID = re.compile(rf"[0-9A-Za-z]{{{SID_LENGTH}}}")
_TOKEN = re.compile(
    rf"(?:{TOKEN_PREFIX}|{PERSONAL_PREFIX})([0-9A-Za-z]{{{SID_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}}"
)


class Mode(StrEnum):
    """Where a session's prompts may go: ``local`` ones never leave the user's machine."""

    CLOUD = "cloud"
    LOCAL = "local"


class Scope(StrEnum):
    """What a session may be used for. Signing in gives all; a personal access token has what it was made with."""

    INFERENCE = "inference"  # every path that has a model do something, counting tokens too
    MODELS = "models"  # lists of models
    ACCOUNT = "account"  # the account, its limits and its usage records


EVERY_SCOPE = frozenset(Scope)


class Denial(StrEnum):
    """Why a token does not open a session: the codes of the error table."""

    TOKEN_INVALID = "token_invalid"  # noqa: S105 - an error code
    TOKEN_EXPIRED = "token_expired"  # noqa: S105 - an error code
    TOKEN_REVOKED = "token_revoked"  # noqa: S105 - an error code


@dataclass(frozen=True, slots=True)
class Principal:
    """A valid session. All texts are from closed sets or drawn by the gateway.

    `lookup` fills in what the session itself says; `gateway.auth.policy.resolve` joins what its account and
    organisation state, and fills in the rest.

    Attributes:
        tier: The plan to show.
        begun_ms: When its sign-in, or its personal token, began, however often tokens were refreshed since.
        region: What the session itself is pinned to; ``regions`` is what counts.
        tiers: Every plan that applies; empty means only ``tier``.
        models: Names of the models that may be used, ``None`` is every one.
        regions: Where prompts may be processed, ``None`` is anywhere.
        max_retention_days: For how long a provider may keep them, ``None`` means no limit.
        fallback_companies: Which companies may answer if the selected one fails.
        required_app: The lowest accepted app version, if the session's is older.
        org: Digest of the account's organisation, or empty.
        scopes: What it may be used for.
    """

    sid: str
    pid: str
    tier: str
    mode: Mode
    expires_ms: int
    begun_ms: int = 0
    region: str = ""
    app_version: str = ""
    platform: str = ""
    tiers: tuple[str, ...] = ()
    models: frozenset[str] | None = None
    regions: frozenset[str] | None = None
    max_retention_days: int | None = None
    fallback_companies: frozenset[str] = frozenset()
    required_app: str = ""
    org: str = ""
    scopes: frozenset[Scope] = EVERY_SCOPE


def session_key(sid: str) -> str:
    return f"s:{{{sid}}}"


def family_key(sid: str) -> str:
    """Of the refresh tokens of a session that has some (`gateway.oauth.refresh`)."""
    return f"f:{{{sid}}}"


def is_sid(text: str) -> bool:
    """Whether ``text`` can be a session id, and so may be part of a key."""
    return _SID.fullmatch(text) is not None


def sid_of(token: str) -> str | None:
    """The session id inside a well-formed token."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def worth_trying(tokens: Sequence[str]) -> Sequence[str]:
    """Which tokens of one request to look up, in order; at most `MOST_TOKENS`.

    Agents send a leftover beside the one that counts: another service's bearer with ``x-api-key``, or a key of the
    environment with a bearer. What has the form of the gateway's own tokens is tried, each once; if nothing has it,
    the first is reported to the caller.
    """
    if len(tokens) < 2:
        return tokens
    own = [token for token in dict.fromkeys(tokens) if sid_of(token) is not None]
    return own[:MOST_TOKENS] or tokens[:1]


def token_digest(key: bytes, token: str) -> str:
    return digest(key, "session", token)


async def lookup(client: Client, key: bytes, token: str, now_ms: int | None = None) -> Principal | Denial:
    """The session of ``token``, if its account lives: two calls to the store, none for a malformed token.

    Args:
        client: The store.
        key: The identity key.
        token: As the caller sent it.
        now_ms: Unix milliseconds, for tests.

    Raises:
        redis.RedisError: The store cannot answer, which says nothing about the token.
    """
    sid = sid_of(token)
    if sid is None:
        return Denial.TOKEN_INVALID
    found = judge(await read_session(client, sid), key, token, now_ms)
    if isinstance(found, Principal) and not await living.lives(client, found.pid):
        return Denial.TOKEN_INVALID
    return found


def judge(fields: dict[str, str], key: bytes, token: str, now_ms: int | None = None) -> Principal | Denial:
    """What a session's stored fields say about a well-formed token of it. Pure except for the clock."""
    presented = token_digest(key, token).encode()
    if hmac.compare_digest(fields.get("digest", "").encode(), presented):
        expires = int(fields["expires"])
    elif hmac.compare_digest(fields.get("before", "").encode(), presented):
        expires = int(fields["before_expires"])  # the token before the last refresh: still good for its time
    else:
        return Denial.TOKEN_INVALID
    if "revoked" in fields:
        return Denial.TOKEN_REVOKED
    if expires <= (clock.now_ms() if now_ms is None else now_ms):
        return Denial.TOKEN_EXPIRED
    return Principal(
        sid=sid_of(token) or "",
        pid=fields["pid"],
        tier=fields["tier"],
        mode=Mode.CLOUD if fields.get("mode") == Mode.CLOUD else Mode.LOCAL,
        expires_ms=expires,
        begun_ms=int(fields["created"]),
        region=fields.get("region", ""),
        app_version=fields.get("app", ""),
        platform=fields.get("platform", ""),
        max_retention_days=retention.stored(fields.get("max_retention_days", "")),
        scopes=scopes_of(fields),
    )


def scopes_of(fields: Mapping[str, str]) -> frozenset[Scope]:
    """The scopes that a session's stored fields state. One that this version does not know is not had."""
    if "scopes" not in fields:
        return EVERY_SCOPE
    stated = fields["scopes"].split(" ")
    return frozenset(scope for scope in Scope if scope in stated)


async def read_session(client: Client, sid: str) -> dict[str, str]:
    """The stored fields of a session, empty if there is none."""
    return texts(await client.hgetall(session_key(sid)))


def texts(fields: Mapping[Any, Any]) -> dict[str, str]:
    """A hash of the store as text."""
    return {str_of(name): str_of(value) for name, value in fields.items()}


def str_of(value: object) -> str:
    """A reply as text, whether or not the client decodes."""
    return value.decode() if isinstance(value, bytes) else str(value)
