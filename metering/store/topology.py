"""Which connection serves which partition: one node, or the primaries of a Cluster.

redis-py knows the topology (slots, redirects, failovers); the calls are sent on `Link`s.
A call that a node redirects is repeated through redis-py, one at a time: it follows MOVED and
ASK and refreshes its map of slots, which the next calls use.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

from redis.asyncio import RedisCluster, SSLConnection
from redis.exceptions import RedisError, ResponseError

from metering import keys
from metering.store.cluster import mapped
from metering.store.link import Command, Link, StoreEndpoint, StoreError, Unreachable

REDIRECTS = frozenset({"MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN"})
STALE = frozenset({"READONLY", "MASTERDOWN"})  # this node is not, or no longer, the primary
REDIRECT_TIMEOUT = 2.0


class Topology(Protocol):
    """Runs a command on the node that owns a partition."""

    async def connect(self) -> None:
        """Reach every node once. Raises `Unreachable`."""
        ...

    def send(self, p: int, command: Command, *, urgent: bool = False) -> asyncio.Future[Any]:
        """Send with the other calls of this tick, or at once; the future returns the reply.

        It raises `Unreachable`, or a `StoreError`, which the caller must pass to `redo`.
        """
        ...

    async def redo(self, command: Command, error: StoreError) -> Any:
        """Follow a redirect. Raises ``error`` again if it is not a redirect, or `Unreachable`."""
        ...

    async def close(self) -> None: ...


class OneNode:
    """A single server, whose address is asked for at each connection attempt."""

    def __init__(self, endpoint: Callable[[], Awaitable[StoreEndpoint]], *, timeout: float) -> None:
        self._link = Link(endpoint, timeout=timeout)

    async def connect(self) -> None:
        await self._link.connect()

    def send(
        self,
        p: int,  # noqa: ARG002 - the one node owns all
        command: Command,
        *,
        urgent: bool = False,
    ) -> asyncio.Future[Any]:
        return self._link.call(command, urgent=urgent)

    async def redo(self, command: Command, error: StoreError) -> Any:  # noqa: ARG002 - nowhere else to go
        if error.code in STALE:
            self._link.reset()
        raise error

    async def close(self) -> None:
        await self._link.close()


class ClusterNodes:
    """One link to each primary, made when first needed."""

    def __init__(self, client: RedisCluster, *, timeout: float) -> None:
        self._client = client
        self._timeout = timeout
        self._links: dict[str, Link] = {}
        self._refreshing = asyncio.Lock()

    async def connect(self) -> None:
        try:
            await self._client.initialize()
        except (RedisError, OSError):
            raise Unreachable(maybe_ran=False) from None
        for node in self._client.get_primaries():
            await self._link(node.host, int(node.port), node.connection_kwargs).connect()

    def send(self, p: int, command: Command, *, urgent: bool = False) -> asyncio.Future[Any]:
        try:
            node = self._client.nodes_manager.get_node_from_slot(keys.slot(p))
        except (RedisError, KeyError):
            nowhere: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            nowhere.set_exception(Unreachable(maybe_ran=False))
            return nowhere
        return self._link(node.host, int(node.port), node.connection_kwargs).call(command, urgent=urgent)

    async def redo(self, command: Command, error: StoreError) -> Any:
        if error.code not in REDIRECTS and error.code not in STALE:
            raise error
        try:
            async with asyncio.timeout(REDIRECT_TIMEOUT):
                return await self._client.execute_command(*command)
        except ResponseError as refusal:
            raise StoreError(str(refusal)) from None
        except (RedisError, OSError):
            raise Unreachable(maybe_ran=True) from None

    async def close(self) -> None:
        for link in self._links.values():
            await link.close()
        self._links.clear()

    def _link(self, host: str, port: int, options: Mapping[str, Any]) -> Link:
        name = f"{host}:{port}"
        link = self._links.get(name)
        if link is None:
            link = self._links[name] = Link(
                _NodeAddress(endpoint_of({**options, "host": host, "port": port}), self._refresh),
                timeout=self._timeout,
            )
        return link

    async def _refresh(self) -> None:
        if self._refreshing.locked():
            return
        async with self._refreshing:
            with contextlib.suppress(RedisError, OSError), mapped():
                await self._client.nodes_manager.initialize()


class _NodeAddress:
    """The fixed address of a Cluster node. If it is asked for again, the connection was lost."""

    def __init__(self, endpoint: StoreEndpoint, refresh: Callable[[], Awaitable[None]]) -> None:
        self._endpoint = endpoint
        self._refresh = refresh
        self._asked = False

    async def __call__(self) -> StoreEndpoint:
        if self._asked:
            await self._refresh()
        self._asked = True
        return self._endpoint


def endpoint_of(options: Mapping[str, Any]) -> StoreEndpoint:
    """The server that redis-py's connection options name, with TLS if they say so."""
    tls = {name: value for name, value in options.items() if name.startswith("ssl_")}
    if options.get("ssl"):
        tls.setdefault("ssl_cert_reqs", "required")
    return StoreEndpoint(
        host=options.get("host") or "127.0.0.1",
        port=int(options.get("port") or 6379),
        path=options.get("path"),
        username=options.get("username"),
        password=options.get("password"),
        db=int(options.get("db") or 0),
        tls=SSLConnection(**tls).ssl_context.get() if tls else None,
    )
