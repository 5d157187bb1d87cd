"""A primary that Sentinels name: the address is asked for anew at each connection attempt.

The URL is ``redis+sentinel://[USER:PASSWORD@]HOST:PORT[,HOST:PORT ...]/SERVICE[/DB]`` (``rediss+`` for TLS to the
servers and the Sentinels). The credentials are the servers'; Sentinels are asked without.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any
from urllib.parse import unquote, urlsplit

from redis.asyncio import Redis
from redis.asyncio.sentinel import Sentinel
from redis.exceptions import RedisError

from metering.store.link import StoreEndpoint
from metering.store.topology import OneNode, endpoint_of

DEFAULT_PORT = 26379
SCHEMES = ("redis+sentinel://", "rediss+sentinel://")


class Sentinels:
    """The Sentinels of one service. Raises ValueError for an address without hosts or service."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        parts = urlsplit(url)
        service, _, db = parts.path.strip("/").partition("/")
        hosts = [_address(host) for host in parts.netloc.rpartition("@")[2].split(",") if host]
        if not service or not hosts or (db and not db.isdigit()):
            raise ValueError("store.url must be redis+sentinel://HOST:PORT[,HOST:PORT ...]/SERVICE[/DB]")
        tls = {"ssl": True} if parts.scheme.startswith("rediss") else {}
        self._service = service
        self._options: dict[str, Any] = {**options, **tls, "db": int(db or 0)}
        if parts.password:
            self._options |= {"username": unquote(parts.username or "") or None, "password": unquote(parts.password)}
        sentinel: Any = Sentinel
        self._sentinel = sentinel(hosts, sentinel_kwargs={**options, **tls}, **self._options)

    def client(self) -> Redis:
        """redis-py's own client of whoever is the primary."""
        client: Redis = self._sentinel.master_for(self._service)
        return client

    def topology(self, *, timeout: float) -> OneNode:
        return OneNode(self._primary(), timeout=timeout)

    def _primary(self) -> Callable[[], Awaitable[StoreEndpoint]]:
        async def primary() -> StoreEndpoint:
            try:
                host, port = await self._sentinel.discover_master(self._service)
            except RedisError:
                raise ConnectionError("no Sentinel names a primary") from None
            options = dict(self._options)
            if options.pop("ssl", False):
                options["ssl_cert_reqs"] = "required"
            return endpoint_of({**options, "host": host, "port": port})

        return primary

    async def close(self) -> None:
        for client in self._sentinel.sentinels:
            await client.aclose()


def _address(text: str) -> tuple[str, int]:
    host, _, port = text.rpartition(":") if not text.endswith("]") and ":" in text else (text, "", "")
    return host.strip("[]"), int(port or DEFAULT_PORT)
