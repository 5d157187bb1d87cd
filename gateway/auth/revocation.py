"""Revokes sessions durably: in the store, on every worker, and through a failover.

Rules:

1. The order is: write, announce, journal, confirm. Workers learn of it as soon as it is written.
2. The call returns after the revocation survives the loss of the primary. If that is not certain, it raises
   `Unconfirmed`, and the call can be repeated.
3. The actor is recorded in the audit stream before the revocation is written. A second revocation is not recorded, so
   that an old token cannot fill the stream. The sign-out of an app is recorded too: the store cannot distinguish it
   from a thief of its token.
4. A session that was revoked `SETTLED_S` ago is not revoked again: a caller repeats an unconfirmed call sooner, and an
   old token must not cause work on the workers and the disk.
"""

from __future__ import annotations

from gateway.auth import sessions
from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.principal import session_key
from metering.accounts import audit
from metering.accounts.audit import Action
from metering.clock import now_ms
from metering.spool.journal import Journal
from metering.store.store import Store

SETTLED_S = 60


async def revoke(store: Store, sid: str, *, actor: str, journal: Journal | None = None) -> bool:
    """Revoke a session and its refresh tokens; false if there is none. ``actor``: as in `metering.accounts.audit`.

    Raises:
        Unconfirmed: It is done, but might not survive a failover: repeat the call.
        redis.RedisError: The store cannot answer.
    """
    session = await sessions.get(store.client, sid)
    if session is None:
        return False
    if session.revoked_ms is not None and now_ms() - session.revoked_ms > SETTLED_S * 1_000:
        return True
    if session.revoked_ms is None:
        await audit.note(store, actor, Action.REVOKED, session.pid)
    return await _revoke(store, sid, journal)


async def _revoke(store: Store, sid: str, journal: Journal | None) -> bool:
    if not await sessions.revoke(store.client, sid):
        return False
    await made_known(store, sid, journal=journal)
    return True


async def made_known(store: Store, sid: str, *, journal: Journal | None = None) -> None:
    """Announce, journal and confirm a revocation that is written already. Raises `Unconfirmed`."""
    await publish(store.client, Announcement(Topic.SESSION_REVOKED, sid=sid))
    if journal is not None:
        journal.revoked(sid)
    await store.confirm(session_key(sid))


async def revoke_all(store: Store, pid: str, *, actor: str, journal: Journal | None = None) -> int:
    """Revoke every live session of an account, noted as one act; how many there were. Raises as `revoke`."""
    live = [session for session in await sessions.of_account(store.client, pid) if session.revoked_ms is None]
    if live:
        await audit.note(store, actor, Action.REVOKED, pid)
    for session in live:
        await _revoke(store, session.sid, journal)
    return len(live)
