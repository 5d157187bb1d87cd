"""The identity map: from the user's id at the sign-in service to a random account id.

Rules:

1. The user's id is never stored. ``u:<hmac>`` holds the version of the key that made it and the pid,
   as ``version:pid``, and is the only link between the two: once deleted, it cannot be restored.
2. A pid is drawn once. Rotating the key keeps every pid: an account found under an older key is
   also noted under the current one.
3. A link to an erased account is ignored and deleted when it is found.
"""

from __future__ import annotations

import hmac
import secrets
from base64 import b32encode
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from redis.exceptions import WatchError

from metering.accounts.living import lives
from metering.store.store import Store


@dataclass(frozen=True, slots=True)
class IdentityKey:
    """A secret of 32 bytes and its version, a number that grows with each rotation."""

    version: int
    secret: bytes


def new_pid() -> str:
    """A random account id: ``p`` and 24 characters of base32 (120 bits)."""
    return "p" + b32encode(secrets.token_bytes(15)).decode().lower()


class Accounts:
    """Finds accounts by user.

    ``identity_keys``: the current key first, then older ones that may still be in the store.
    """

    def __init__(self, store: Store, identity_keys: Sequence[IdentityKey]) -> None:
        self._client: Any = store.client
        self._keys = tuple(identity_keys)

    async def pid_of(self, user: str, *, create: bool = False) -> str | None:
        """The account of a user, if it is not erased. If there is none and ``create`` is set, a new pid is drawn.

        Callers that create the same user's account at the same time all get the same pid.
        Raises redis-py's errors when the store is away.
        """
        names = self.names(user)
        for index, name in enumerate(names):
            value = await self._client.get(name)
            if value is None:
                continue
            pid = _pid(value)
            if not await lives(self._client, pid):
                await self._unlink(name, value)
                continue
            return pid if index == 0 else await self._claim(names[0], pid)
        return await self._claim(names[0], new_pid()) if create else None

    async def _unlink(self, name: str, value: bytes | str) -> None:
        """Delete a link, unless it was changed since it was read."""
        async with self._client.pipeline(transaction=True) as pipe:
            await pipe.watch(name)
            if await pipe.get(name) == value:
                pipe.multi()
                pipe.delete(name)
                with suppress(WatchError):
                    await pipe.execute()

    async def _claim(self, name: str, pid: str) -> str:
        """Note ``pid`` unless another is noted already; return the noted one."""
        before = await self._client.set(name, f"{self._keys[0].version}:{pid}", nx=True, get=True)
        return _pid(before) if isinstance(before, bytes | str) else pid

    def names(self, user: str) -> list[str]:
        """The keys that lead from this user to an account, the current one first."""
        return [
            f"u:{hmac.digest(key.secret, b'user' + bytes(1) + user.encode(), 'sha256').hex()}" for key in self._keys
        ]


def _pid(value: bytes | str) -> str:
    text = value.decode() if isinstance(value, bytes) else value
    return text.partition(":")[2]
