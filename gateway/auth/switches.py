"""What the operator has switched off: providers, models and single keys.

Rules:

1. ``k:provider``, ``k:model`` and ``k:key`` are hashes of a name and since when (Unix milliseconds). The names are
   those of the configuration and the catalog; a key is ``PROVIDER:POSITION``, counted from 1 in ``api_keys``.
2. A worker has the names in memory and looks them up when a change is announced, or may have been missed. If the store
   does not answer, it goes by the last ones that it knows.
3. A switch holds for attempts that begin after it. Running answers go on.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from enum import StrEnum
from typing import NamedTuple

from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.missed import STORE_TIMEOUT, LooksAgain
from gateway.auth.principal import Client, texts
from gateway.config import Config
from metering import clock
from metering.store.store import Store


class Switchable(StrEnum):
    """What can be switched off."""

    PROVIDER = "provider"
    MODEL = "model"
    KEY = "key"


Off = frozenset[tuple[Switchable, str]]  # names as in rule 1


class SwitchedOff(NamedTuple):
    """One thing that is off."""

    what: Switchable
    name: str
    since_ms: int


def switch_key(what: Switchable) -> str:
    return f"k:{what.value}"


def key_name(provider: str, position: int) -> str:
    """The name of a provider's key; ``position`` counts from 0."""
    return f"{provider}:{position + 1}"


def provider_of(key: str) -> str:
    """The provider of a key that `key_name` named."""
    return key.rpartition(":")[0]


def switchable(config: Config, models: Iterable[str]) -> frozenset[tuple[Switchable, str]]:
    """Everything that can be switched off: what is configured, and the names of models."""
    providers = config.providers.values()
    return frozenset(
        (
            *((Switchable.PROVIDER, provider.name) for provider in providers),
            *((Switchable.MODEL, model) for model in models),
            *(
                (Switchable.KEY, key_name(provider.name, position))
                for provider in providers
                for position in range(provider.key_count)
            ),
        )
    )


async def switch(store: Store, what: Switchable, name: str, *, off: bool) -> None:
    """Switch something off, or on again, and tell every worker.

    Raises:
        Unconfirmed, redis.RedisError: Done perhaps, and might not survive a failover: repeat it.
    """
    key = switch_key(what)
    if off:
        await store.client.hsetnx(key, name, str(clock.now_ms()))
    else:
        await store.client.hdel(key, name)
    await publish(store.client, Announcement(Topic.SWITCHED))
    await store.confirm(key)


async def read_switches(client: Client) -> list[SwitchedOff]:
    """Everything that is off. Raises redis-py's errors."""
    async with client.pipeline(transaction=False) as pipeline:
        for what in Switchable:
            pipeline.hgetall(switch_key(what))
        found = await pipeline.execute()
    return [
        SwitchedOff(what, name, int(since))
        for what, fields in zip(Switchable, found, strict=True)
        for name, since in sorted(texts(fields).items())
    ]


class Switches(LooksAgain):
    """One worker's. Call `look` before the first request, `start` from the running loop.

    Args:
        client: The store.
        listening: Whether announcements are heard.
        changed: Called with the things that are off, if that is news.
    """

    def __init__(
        self, client: Client, *, listening: Callable[[], bool], changed: Callable[[Off], None] = lambda _off: None
    ) -> None:
        super().__init__(listening)
        self._client = client
        self._changed = changed
        self._off: Off = frozenset()

    async def look(self) -> None:
        """Learn what is off. Raises redis-py's errors, OSError and TimeoutError."""
        async with asyncio.timeout(STORE_TIMEOUT):
            found = await read_switches(self._client)
        off = frozenset((one.what, one.name) for one in found)
        if off != self._off:
            self._off = off
            self._changed(off)

    def __bool__(self) -> bool:
        """Whether anything is off."""
        return bool(self._off)

    def provider(self, name: str) -> bool:
        """Whether a provider is off."""
        return (Switchable.PROVIDER, name) in self._off

    def model(self, names: Collection[str]) -> bool:
        """Whether one of these models is off."""
        return any((Switchable.MODEL, name) in self._off for name in names)

    def keys(self, provider: str, count: int) -> frozenset[int]:
        """The positions of a provider's keys that are off, from 0."""
        return frozenset(
            position for position in range(count) if (Switchable.KEY, key_name(provider, position)) in self._off
        )
