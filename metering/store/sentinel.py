"""A primary whose address Sentinels know: they are asked at each connection attempt."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel
from redis.backoff import ExponentialWithJitterBackoff, NoBackoff
from redis.exceptions import RedisError

from metering.store.address import StoreAddress
from metering.store.link import StoreEndpoint
from metering.store.topology import OneNode, endpoint_of

# redis-py's own retries multiply: those of a command, of each connection attempt in it, of each Sentinel asked there.
_ASK_ONCE = Retry(NoBackoff(), 0)  # if a Sentinel does not answer, the next one is asked
_RETRY = Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 3)


class _Remembering(Sentinel):
    """Remembers the addresses that it returned: redis-py's client and the ledger's link both ask it."""

    named: frozenset[tuple[str, int]] = frozenset()

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        host, port = await super().discover_master(service_name)
        self.named |= {(str(host), int(port))}
        return host, port


class Sentinels:
    """The Sentinels of one service, and the connection options of its servers."""

    def __init__(self, address: StoreAddress, options: Mapping[str, Any]) -> None:
        tls = {"ssl": True, **address.tls_options} if address.tls else {}
        self._service = address.service
        self._options: dict[str, Any] = {**options, **tls, "db": address.db, "retry": _RETRY}
        if address.password:
            self._options |= {"username": address.username, "password": address.password}
        sentinel: Any = _Remembering
        self._sentinel = sentinel(
            address.hosts, sentinel_kwargs={**options, **tls, "retry": _ASK_ONCE}, **self._options
        )

    def client(self) -> Redis:
        """redis-py's own client, connected to the current primary."""
        client: Redis = self._sentinel.master_for(self._service)
        return client

    @property
    def named(self) -> frozenset[tuple[str, int]]:
        """Host and port of every primary that the Sentinels have named so far."""
        named: frozenset[tuple[str, int]] = self._sentinel.named
        return named

    def topology(self, *, timeout: float) -> OneNode:
        return OneNode(self.primary, timeout=timeout)

    async def primary(self) -> StoreEndpoint:
        """The current address of the primary. Raises ConnectionError if no Sentinel names one."""
        try:
            host, port = await self._sentinel.discover_master(self._service)
        except RedisError:
            raise ConnectionError("no Sentinel names a primary") from None
        return endpoint_of({**self._options, "host": host, "port": port})

    async def close(self) -> None:
        for client in self._sentinel.sentinels:
            await client.aclose()
