"""A primary that Sentinels name: the address is asked for again at each connection attempt."""

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

# redis-py's own retries multiply: of a command, in each of connecting, in each of every Sentinel.
_ASK_ONCE = Retry(NoBackoff(), 0)  # a Sentinel that does not answer: there are others
_RETRY = Retry(ExponentialWithJitterBackoff(base=0.01, cap=1), 3)


class Sentinels:
    """The Sentinels of one service, and how their servers are connected to."""

    def __init__(self, address: StoreAddress, options: Mapping[str, Any]) -> None:
        tls = {"ssl": True, **address.tls_options} if address.tls else {}
        self._service = address.service
        self._options: dict[str, Any] = {**options, **tls, "db": address.db, "retry": _RETRY}
        if address.password:
            self._options |= {"username": address.username, "password": address.password}
        sentinel: Any = Sentinel
        self._sentinel = sentinel(
            address.hosts, sentinel_kwargs={**options, **tls, "retry": _ASK_ONCE}, **self._options
        )

    def client(self) -> Redis:
        """redis-py's own client of whoever is the primary."""
        client: Redis = self._sentinel.master_for(self._service)
        return client

    def topology(self, *, timeout: float) -> OneNode:
        return OneNode(self.primary, timeout=timeout)

    async def primary(self) -> StoreEndpoint:
        """Where the primary listens now. Raises ConnectionError if no Sentinel names one."""
        try:
            host, port = await self._sentinel.discover_master(self._service)
        except RedisError:
            raise ConnectionError("no Sentinel names a primary") from None
        return endpoint_of({**self._options, "host": host, "port": port})

    async def close(self) -> None:
        for client in self._sentinel.sentinels:
            await client.aclose()
