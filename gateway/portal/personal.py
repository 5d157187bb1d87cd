"""Personal access tokens: created by their owner for tools that need one static key.

Rules:

1. A personal access token is a session (`gateway.auth.sessions`) with a name and scopes: it is authenticated, revoked,
   listed and erased like every session. It is never refreshed.
2. Its owner chooses the name. The name has a restricted form, is shown only to the owner and is never logged.
3. Each token expires. An account can have at most `MOST` valid ones.
"""

from __future__ import annotations

import re
from collections.abc import Collection

from gateway.auth import sessions
from gateway.auth.principal import PERSONAL_PREFIX, Client, Scope
from gateway.auth.sessions import Issued, Session
from gateway.config import DEFAULT_TIER
from metering.accounts import audit
from metering.accounts.audit import Action, Actor
from metering.clock import DAY_SECONDS, now_ms
from metering.store.store import Store

MOST = 50
LONGEST_LIFE_S = 366 * DAY_SECONDS

_SCOPES = f"Choose at least one of the scopes {', '.join(Scope)}."
_LIFE = f"A token is valid for 1 to {LONGEST_LIFE_S // DAY_SECONDS} days."
_FULL = f"An account can have at most {MOST} personal access tokens. Revoke one that is not used."
_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9 ._+-]{0,30}[A-Za-z0-9])?")


class InvalidToken(ValueError):
    """A token that cannot be made; the message says how to fix it and quotes nothing."""


async def create(
    store: Store,
    key: bytes,
    *,
    pid: str,
    name: str,
    scopes: Collection[Scope],
    life_s: int,
) -> Issued:
    """Make a token, which is shown this once; the audit stream has it before.

    Args:
        store: Where it is kept.
        key: The identity key.
        pid: The account.
        name: 1 to 32 letters, digits, blanks and ``. _ + -``, with a letter or digit at both ends.
        scopes: One at least.
        life_s: Seconds, up to `LONGEST_LIFE_S`.

    Raises:
        InvalidToken: A value is not of its form, or the account has `MOST` already.
        redis.RedisError: The store cannot answer.
    """
    if not _NAME.fullmatch(name):
        raise InvalidToken(
            "A name has 1 to 32 letters, digits, spaces and . _ + -, and starts and ends with a letter or digit."
        )
    if not scopes:
        raise InvalidToken(_SCOPES)
    if not 0 < life_s <= LONGEST_LIFE_S:
        raise InvalidToken(_LIFE)
    now = now_ms()
    held = await of_account(store.client, pid)
    if sum(token.revoked_ms is None and token.expires_ms > now for token in held) >= MOST:
        raise InvalidToken(_FULL)
    stated: dict[sessions.Value, sessions.Value] = {
        "name": name,
        "scopes": " ".join(sorted(Scope(scope) for scope in scopes)),
    }
    await audit.note(store, Actor.PORTAL, Action.ISSUED, pid)
    return await sessions.create(
        store.client,
        key,
        pid=pid,
        tier=DEFAULT_TIER,
        life_s=life_s,
        prefix=PERSONAL_PREFIX,
        more=stated,
    )


async def of_account(client: Client, pid: str) -> list[Session]:
    """The account's tokens that are still held, revoked and just expired ones too, oldest expiry first."""
    return [session for session in await sessions.of_account(client, pid) if session.personal]
