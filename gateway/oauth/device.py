"""The device authorization grant (RFC 8628): a sign-in that another device confirms.

Rules:

1. A grant is the hash ``d:{<handle>}``; the handle is a keyed digest of the user code, and the device
   code names it, so that both codes lead to one key. The store holds neither code.
2. Every step is one call of the function library: of two polls that race, one redeems.
3. A grant can be decided for ten minutes. It is kept for ten more, so that a device that polls late gets
   `expired_token` and not `invalid_grant`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum

from gateway.auth.functions import call, call_for_texts
from gateway.auth.identity import digest
from gateway.auth.principal import Client, str_of
from gateway.auth.secret_text import SECRET_LENGTH, drawn
from gateway.oauth.software import readable

CODE_PREFIX = "cgx_dc_"
USER_ALPHABET = "BCDFGHJKLMNPQRSTVWXZ"  # RFC 8628 section 6.1: no vowels, hence no words; no digits to confuse
USER_CODE_LENGTH = 8
LIFE_S = 600
INTERVAL_S = 5
SLOW_DOWN_S = 5  # RFC 8628 section 3.5
SLACK_S = 0.5  # how much earlier than told a poll may come: networks are uneven
HANDLE_LENGTH = 32
MOST_DRAWS = 8

_DEVICE_CODE = re.compile(rf"{CODE_PREFIX}([0-9a-f]{{{HANDLE_LENGTH}}})_[0-9A-Za-z]{{{SECRET_LENGTH}}}")
_USER_CODE = re.compile(rf"[{USER_ALPHABET}]{{{USER_CODE_LENGTH}}}")


class GrantState(StrEnum):
    PENDING = "pending"
    APPROVED = "approved"
    DENIED = "denied"
    REDEEMED = "redeemed"


class PollDenied(StrEnum):
    """Why a poll gets no token: error codes of RFC 8628 section 3.5 and RFC 6749 section 5.2."""

    AUTHORIZATION_PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    ACCESS_DENIED = "access_denied"
    EXPIRED_TOKEN = "expired_token"  # noqa: S105 - an error code
    INVALID_GRANT = "invalid_grant"


@dataclass(frozen=True, slots=True)
class Started:
    """The answer to the device. Times are seconds; the user code is in two groups."""

    device_code: str
    user_code: str
    expires_in: int
    interval: int


@dataclass(frozen=True, slots=True)
class PendingGrant:
    """What a person decides about. ``app_version`` and ``platform`` are the device's own word, of a closed form."""

    client_id: str
    app_version: str
    platform: str
    scope: str
    created_ms: int
    expires_ms: int
    state: GrantState


@dataclass(frozen=True, slots=True)
class Redeemed:
    """An approved grant, from which the caller creates the session. It is returned once."""

    pid: str
    tier: str
    scope: str
    app_version: str
    platform: str


_REFUSALS = {
    "pending": PollDenied.AUTHORIZATION_PENDING,
    "slow_down": PollDenied.SLOW_DOWN,
    "denied": PollDenied.ACCESS_DENIED,
    "expired": PollDenied.EXPIRED_TOKEN,
    "invalid": PollDenied.INVALID_GRANT,
}


def normalized(user_code: str) -> str | None:
    """A user code as it was drawn, from how a person writes it (case, spaces, dashes); else ``None``."""
    if len(user_code) > 64:
        return None
    text = re.sub(r"[\s-]", "", user_code).upper()
    return text if _USER_CODE.fullmatch(text) else None


def shown(code: str) -> str:
    """A user code in two groups: easier to copy."""
    half = USER_CODE_LENGTH // 2
    return f"{code[:half]}-{code[half:]}"


def grant_key(handle: str) -> str:
    return f"d:{{{handle}}}"


def _handle(key: bytes, code: str) -> str:
    return digest(key, "user-code", code)[:HANDLE_LENGTH]


async def start(
    client: Client, key: bytes, *, client_id: str, app_version: str = "", platform: str = "", scope: str = ""
) -> Started:
    """Begin a grant. Of ``app_version`` and ``platform``, what is `readable` is kept.

    Raises:
        redis.RedisError: The store cannot answer.
    """
    software = readable(app_version, platform)
    for _ in range(MOST_DRAWS):
        code = drawn(USER_CODE_LENGTH, USER_ALPHABET)
        handle = _handle(key, code)
        device_code = f"{CODE_PREFIX}{handle}_{drawn()}"
        made = await call(
            client,
            "cgxa1_start",
            (grant_key(handle),),
            digest(key, "device-code", device_code),
            client_id,
            scope,
            software.version,
            software.platform,
            INTERVAL_S * 1_000,
            LIFE_S * 1_000,
            LIFE_S * 1_000,
        )
        if made:
            return Started(device_code, shown(code), LIFE_S, INTERVAL_S)
    raise RuntimeError("no user code is free")  # of 2.56e10: not by chance


async def pending(client: Client, key: bytes, user_code: str) -> PendingGrant | None:
    """The grant of a user code, in any state, or ``None``. The caller limits attempts (`attempts`).

    Raises redis-py's errors.
    """
    code = normalized(user_code)
    if code is None:
        return None
    found = await client.hgetall(grant_key(_handle(key, code)))
    fields = {str_of(name): str_of(value) for name, value in found.items()}
    if not fields:
        return None
    return PendingGrant(
        client_id=fields["client"],
        app_version=fields["app"],
        platform=fields["platform"],
        scope=fields["scope"],
        created_ms=int(fields["created"]),
        expires_ms=int(fields["expires"]),
        state=GrantState(fields["state"]),
    )


async def approve(client: Client, key: bytes, user_code: str, *, pid: str, tier: str) -> bool:
    """Approve the device for ``pid``; false if there is nothing (left) to decide. Raises redis-py's errors."""
    return await _decide(client, key, user_code, GrantState.APPROVED, pid, tier)


async def deny(client: Client, key: bytes, user_code: str) -> bool:
    """Refuse the device; false if there is nothing (left) to decide. Raises redis-py's errors."""
    return await _decide(client, key, user_code, GrantState.DENIED)


async def _decide(client: Client, key: bytes, user_code: str, state: GrantState, *account: str) -> bool:
    code = normalized(user_code)
    if code is None:
        return False
    return bool(await call(client, "cgxa1_decide", (grant_key(_handle(key, code)),), state, *account))


async def poll(client: Client, key: bytes, device_code: str, *, client_id: str) -> Redeemed | PollDenied:
    """The answer to a device's poll. `Redeemed` at most once, also for concurrent polls.

    Raises redis-py's errors, after which the device may ask again unless the call had run: then it gets
    `invalid_grant`, and the person starts again.
    """
    match = _DEVICE_CODE.fullmatch(device_code)
    if match is None:
        return PollDenied.INVALID_GRANT
    state, *account = await call_for_texts(
        client,
        "cgxa1_poll",
        (grant_key(match[1]),),
        digest(key, "device-code", device_code),
        client_id,
        int(SLACK_S * 1_000),
        SLOW_DOWN_S * 1_000,
    )
    if state == GrantState.APPROVED:
        return Redeemed(*account)
    return _REFUSALS[state]
