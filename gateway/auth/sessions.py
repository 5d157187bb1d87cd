"""Sessions in the store: creates, lists and revokes them.

A session is the hash ``s:{<sid>}``; ``ss:<pid>`` is the account's session ids by expiry, for listing
and erasure. Both expire by themselves. A revoked session is kept until it would have expired, and an expired
one for a day longer, so that the error can say which of the two it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import Any, TypeAlias

from gateway.auth import retention
from gateway.auth.principal import (
    SID_LENGTH,
    TOKEN_PREFIX,
    Client,
    Mode,
    Scope,
    family_key,
    read_session,
    scopes_of,
    session_key,
    str_of,
    texts,
    token_digest,
)
from gateway.auth.secret_text import drawn
from metering.accounts import living
from metering.clock import DAY_MS, DAY_SECONDS, now_ms

EXPIRED_GRACE_MS = DAY_MS
DEFAULT_LIFE_S = 30 * DAY_SECONDS
BATCH = 500  # sessions in one round trip

Value: TypeAlias = bytes | bytearray | memoryview | str | int | float
_LABEL = re.compile(r"[A-Za-z0-9._+-]{0,32}")


@dataclass(frozen=True, slots=True)
class Issued:
    """A new session. The token exists here and at the caller, and nowhere else."""

    access_token: str
    sid: str
    pid: str
    expires_in: int  # seconds
    until_ms: int  # when the session itself ends, however often its token is refreshed


@dataclass(frozen=True, slots=True)
class Session:
    """What is held about a session, without its token's digest.

    ``name`` exists only for a personal access token: the name that its owner chose, in a form that `personal` checks.
    """

    sid: str
    pid: str
    tier: str
    mode: str
    region: str
    app_version: str
    platform: str
    created_ms: int
    expires_ms: int
    revoked_ms: int | None
    name: str = ""
    scopes: tuple[Scope, ...] = tuple(sorted(Scope))
    max_retention_days: int | None = None

    @property
    def personal(self) -> bool:
        """Whether it is a personal access token, and no sign-in."""
        return self.name != ""


@dataclass(frozen=True, slots=True)
class TokenTimes:
    """What is held about the tokens of a session, without their digests. Times are Unix milliseconds.

    Attributes:
        sid: The session.
        client: Of a sign-in, the client that its refresh tokens were given to.
        scope: What they are for.
        until_ms: When they end.
        rotated_ms: When they were refreshed last.
        access_expires_ms: When the access token ends.
        former_expires_ms: When the one before it ends.
    """

    sid: str
    client: str
    scope: str
    until_ms: int | None
    rotated_ms: int | None
    access_expires_ms: int
    former_expires_ms: int | None


@dataclass(frozen=True, slots=True)
class EndedSession:
    """A session of which only its entry in the account's index is left."""

    sid: str
    ended_ms: int


def index_key(pid: str) -> str:
    return f"ss:{pid}"


def check_label(*labels: str) -> None:
    """Raises `ValueError` if one is not a short word of letters, digits and ``. _ + -``, or empty."""
    if not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError("a label holds characters other than letters, digits and . _ + -, or is longer than 32")


async def create(
    client: Client,
    key: bytes,
    *,
    pid: str,
    tier: str,
    mode: Mode = Mode.CLOUD,
    life_s: int = DEFAULT_LIFE_S,
    region: str = "",
    max_retention_days: int | None = None,
    app_version: str = "",
    platform: str = "",
    keep_s: int | None = None,
    prefix: str = TOKEN_PREFIX,
    more: Mapping[Value, Value] = MappingProxyType({}),
) -> Issued:
    """Make a session and its token. The labels are short words of letters, digits and ``. _ + -``.

    ``max_retention_days`` is a limit of `gateway.auth.retention`, ``life_s`` the token's life, ``keep_s`` that of a
    session whose tokens are refreshed. ``prefix`` is what the token starts with, ``more`` further fields of the
    session: those of `gateway.portal.personal`.

    Raises:
        ValueError: A label is none.
        AccountGone: The account was erased; there is no session.
        redis.RedisError: The store cannot answer.
    """
    check_label(region, app_version, platform)
    sid = drawn(SID_LENGTH)
    token = f"{prefix}{sid}_{drawn()}"
    now = now_ms()
    expires = now + life_s * 1_000
    until = expires if keep_s is None else now + keep_s * 1_000
    gone = until + EXPIRED_GRACE_MS
    index = index_key(pid)
    # The index first: a session that cannot be listed could not be revoked with its account.
    async with client.pipeline(transaction=True) as pipe:
        pipe.zremrangebyscore(index, "-inf", now - EXPIRED_GRACE_MS)
        pipe.zadd(index, {sid: until})
        pipe.pexpireat(index, gone, nx=True)
        pipe.pexpireat(index, gone, gt=True)
        await pipe.execute()
    fields: dict[Value, Value] = {
        "digest": token_digest(key, token),
        "pid": pid,
        "tier": tier,
        "mode": mode.value,
        "region": region,
        "app": app_version,
        "platform": platform,
        "created": now,
        "expires": expires,
        "until": until,
        **more,
    }
    if max_retention_days is not None:
        fields["max_retention_days"] = max_retention_days
    async with client.pipeline(transaction=True) as pipe:
        pipe.hset(session_key(sid), mapping=fields)
        pipe.pexpireat(session_key(sid), gone)
        await pipe.execute()
    await living.unless_gone(client, pid, partial(_forget, client, pid, (sid,)))
    return Issued(token, sid, pid, life_s, until)


async def of_account(client: Client, pid: str) -> list[Session]:
    """The account's sessions that are still held, personal access tokens too, oldest expiry first."""
    return await _read(client, await _indexed(client, pid))


async def ended_of_account(client: Client, pid: str) -> list[EndedSession]:
    """What the account's index still names of sessions that have expired."""
    entries: list[Any] = await client.zrange(index_key(pid), 0, -1, withscores=True)
    ends = {str_of(sid): int(until) for sid, until in entries}
    held = {session.sid for session in await _read(client, list(ends))}
    return [EndedSession(sid, until) for sid, until in ends.items() if sid not in held]


async def tokens_of(client: Client, sids: Sequence[str]) -> list[TokenTimes]:
    """What is held about the tokens of these sessions, in their order."""
    found: list[TokenTimes] = []
    for begin in range(0, len(sids), BATCH):
        batch = sids[begin : begin + BATCH]
        async with client.pipeline(transaction=False) as pipe:
            for sid in batch:
                pipe.hgetall(session_key(sid))
                pipe.hgetall(family_key(sid))
            replies = [texts(reply) for reply in await pipe.execute()]
        found += [
            _tokens(sid, session, family)
            for sid, session, family in zip(batch, replies[::2], replies[1::2], strict=True)
            if session
        ]
    return found


def _tokens(sid: str, session: Mapping[str, str], family: Mapping[str, str]) -> TokenTimes:
    def time(fields: Mapping[str, str], name: str) -> int | None:
        return int(fields[name]) if name in fields else None

    return TokenTimes(
        sid,
        family.get("client", ""),
        family.get("scope", ""),
        time(family, "until"),
        time(family, "rotated"),
        int(session["expires"]),
        time(session, "before_expires"),
    )


async def all_held(client: Client) -> list[Session]:
    """Every session in the store, oldest first: a scan, for the operator's eyes."""
    sids = [str_of(name)[3:-1] async for name in client.scan_iter(match="s:{*}", count=1_000)]
    return sorted(await _read(client, sids), key=lambda session: (session.created_ms, session.sid))


async def get(client: Client, sid: str) -> Session | None:
    return _session(sid, await read_session(client, sid))


async def _indexed(client: Client, pid: str) -> list[str]:
    """The ids that the account's index holds, oldest expiry first; some sessions may be gone already."""
    return [str_of(sid) for sid in await client.zrange(index_key(pid), 0, -1)]


async def _read(client: Client, sids: Sequence[str]) -> list[Session]:
    """Those of ``sids`` that are held, in their order."""
    found: list[Session | None] = []
    for begin in range(0, len(sids), BATCH):
        batch = sids[begin : begin + BATCH]
        async with client.pipeline(transaction=False) as pipe:  # a transaction would have to stay in one slot
            for sid in batch:
                pipe.hgetall(session_key(sid))
            replies = await pipe.execute()
        found += [_session(sid, texts(reply)) for sid, reply in zip(batch, replies, strict=True)]
    return [session for session in found if session is not None]


def _session(sid: str, fields: Mapping[str, str]) -> Session | None:
    if "digest" not in fields:
        return None
    return Session(
        sid=sid,
        pid=fields["pid"],
        tier=fields["tier"],
        mode=fields["mode"],
        region=fields["region"],
        app_version=fields["app"],
        platform=fields["platform"],
        created_ms=int(fields["created"]),
        expires_ms=int(fields.get("until", fields["expires"])),
        revoked_ms=int(fields["revoked"]) if "revoked" in fields else None,
        name=fields.get("name", ""),
        scopes=tuple(sorted(scopes_of(fields))),
        max_retention_days=retention.stored(fields.get("max_retention_days", "")),
    )


async def revoke(client: Client, sid: str) -> bool:
    """Revoke a session; false if there is none. Revoking twice keeps the first time."""
    session = await get(client, sid)
    if session is None:
        return False
    name = session_key(sid)
    # If the session expires in between, the expiry in the past also deletes the new field.
    async with client.pipeline(transaction=True) as pipe:
        pipe.hsetnx(name, "revoked", str(now_ms()))
        pipe.pexpireat(name, session.expires_ms + EXPIRED_GRACE_MS)
        await pipe.execute()
    return True


async def forget_account(client: Client, pid: str) -> int:
    """Delete every session of an account, its refresh tokens and the index, as erasure asks; how many there were."""
    sids = await _indexed(client, pid)
    await _forget(client, pid, sids)
    return len(sids)


async def _forget(client: Client, pid: str, sids: Sequence[str]) -> None:
    for begin in range(0, len(sids), BATCH):
        async with client.pipeline(transaction=False) as pipe:
            for sid in sids[begin : begin + BATCH]:
                pipe.delete(session_key(sid))
                pipe.delete(family_key(sid))
            await pipe.execute()
    await client.delete(index_key(pid))  # last: what breaks off before this can be repeated
