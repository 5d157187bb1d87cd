"""Opens the store that ``store.url`` names, and checks that it can be used.

`metering.store.address` reads the URL. Everything else receives a `Store`: a redis-py client for ordinary commands,
and the ledger's own connections.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.cluster import PipelineCommand
from redis.exceptions import RedisError

from metering.background import within
from metering.keys import PARTITIONS
from metering.store.address import StoreAddress, StoreKind, read_address
from metering.store.cluster import Cluster
from metering.store.connections import map_resets
from metering.store.embedded import Embedded, EmbeddedError
from metering.store.link import StoreEndpoint
from metering.store.sentinel import Sentinels
from metering.store.topology import ClusterNodes, OneNode, Topology, endpoint_of

SOCKET_TIMEOUT = 5.0
CONNECT_TIMEOUT = 2.0
OPEN_SECONDS = 10.0  # for all of redis-py's retries together
OLDEST = {"redis": 7, "valkey": 8}
CONFIRM_MS = 2000
_OPTIONS: Mapping[str, Any] = {
    "protocol": 2,
    "socket_timeout": SOCKET_TIMEOUT,
    "socket_connect_timeout": CONNECT_TIMEOUT,
}


class StoreUnavailable(Exception):
    """The store could not be reached, or refuses the credentials."""


class Unconfirmed(Exception):
    """The write might not survive a failover yet; repeat the call."""


@dataclass(frozen=True, slots=True)
class StoreInfo:
    """The server: ``redis`` or ``valkey``, the version that it states, and whether it is a Cluster."""

    server: str
    version: str
    cluster: bool

    @property
    def major(self) -> int:
        match = re.match(r"\d+", self.version)
        return int(match.group()) if match else 0


class Store:
    """An open store. ``client`` is for ordinary commands (sessions, accounts, readers)."""

    def __init__(
        self,
        client: Redis | RedisCluster,
        info: StoreInfo,
        *,
        embedded: Embedded | None = None,
        sentinels: Sentinels | None = None,
        replicas: int = 0,
    ) -> None:
        self.client = client
        self.info = info
        self.replicas = replicas
        self._embedded = embedded
        self._sentinels = sentinels

    def topology(self, *, timeout: float) -> Topology:
        """New connections for the ledger's calls; ``timeout`` bounds each call, in seconds."""
        if isinstance(self.client, RedisCluster):
            return ClusterNodes(self.client, timeout=timeout)
        return OneNode(self.endpoint, timeout=timeout)

    async def endpoint(self) -> StoreEndpoint:
        """The current address of the server, or of any node of a Cluster. A failover changes it: ask before each
        connection.

        Raises:
            OSError, redis.RedisError: It cannot be found, or the embedded one does not start.
        """
        if isinstance(self.client, RedisCluster):
            await self.client.initialize()
            node = random.choice(self.client.get_nodes())  # noqa: S311 - spreads connections
            return endpoint_of({**node.connection_kwargs, "host": node.host, "port": node.port})
        if self._sentinels is not None:
            return await self._sentinels.primary()
        if self._embedded is not None:
            return StoreEndpoint(path=await self._embedded.ensure())
        return endpoint_of(self.client.connection_pool.connection_kwargs)

    def nodes(self) -> frozenset[tuple[str, int]]:
        """Host and port of every server that a Cluster or the Sentinels have named so far; empty for other stores."""
        if isinstance(self.client, RedisCluster):
            return frozenset((str(node.host), int(node.port)) for node in self.client.get_nodes())
        return self._sentinels.named if self._sentinels is not None else frozenset()

    async def on_primaries(self, *command: str | bytes) -> list[Any]:
        """Run one command on every primary, and return the replies. Raises redis-py's errors."""
        if isinstance(self.client, RedisCluster):
            return [
                await self.client.execute_command(*command, target_nodes=node) for node in self.client.get_primaries()
            ]
        return [await _execute(self.client, *command)]

    async def confirm(self, key: str) -> None:
        """Wait until everything written so far to the primary of ``key`` would survive the loss of that primary.

        It must be on as many replicas as configured, or on the disk of the embedded store. Replication
        keeps the order, so a mark that is written now and confirmed confirms everything before it.

        Raises:
            Unconfirmed: It did not get there within two seconds, or the store is away.
        """
        if self._embedded is None and not self.replicas:
            return
        copies = self.replicas or 1
        wait = ("WAIT", copies, CONFIRM_MS) if self.replicas else ("WAITAOF", 1, 0, CONFIRM_MS)
        mark = ("SET", self._mark(key), "1", "PX", CONFIRM_MS)
        try:
            if isinstance(self.client, RedisCluster):
                commands = [PipelineCommand(0, *mark), PipelineCommand(1, *wait)]
                node = self.client.get_node_from_key(mark[1])
                if node is None:
                    raise Unconfirmed
                await node.execute_pipeline(commands)
                replies = [command.result for command in commands]
            else:
                pipeline: Any = self.client.pipeline(transaction=False)
                pipeline.execute_command(*mark)
                pipeline.execute_command(*wait)
                replies = await pipeline.execute()
        except (RedisError, OSError):
            raise Unconfirmed from None
        reached = replies[1][0] if isinstance(replies[1], list) else replies[1]
        if isinstance(replies[0], Exception) or not isinstance(reached, int) or reached < copies:
            raise Unconfirmed

    def _mark(self, key: str) -> str:
        """A key on the same primary that reveals nothing about ``key``, which may be a digest that was erased."""
        if not isinstance(self.client, RedisCluster):
            return "b:{0}"
        node = self.client.get_node_from_key(key)
        marks = (f"b:{{{p}}}" for p in range(PARTITIONS))
        return next((mark for mark in marks if self.client.get_node_from_key(mark) == node), f"b:{{{key}}}")

    async def check(self) -> list[str]:
        """Everything that prevents the use of this store, as sentences that say how to fix it."""
        faults: list[str] = []
        oldest = OLDEST[self.info.server]
        if self.info.major < oldest:
            faults.append(f"{self.info.server} {self.info.version} is too old: version {oldest} or newer is needed")
        try:
            for memory in await self.on_primaries("INFO", "memory"):
                policy = info_fields(memory).get("maxmemory_policy", "noeviction")
                if policy != "noeviction":
                    faults.append(f"maxmemory-policy is {policy}: set it to noeviction, or credits could be evicted")
        except RedisError:
            faults.append("INFO memory was refused: the user needs the INFO command")
        try:
            await self.on_primaries("FUNCTION", "STATS")
        except RedisError:
            faults.append("FUNCTION was refused: the user needs FUNCTION LOAD, LIST and STATS, and FCALL")
        return faults

    async def close(self) -> None:
        """Close the connections; the last user of the embedded store stops its server."""
        await self.client.aclose()
        if self._sentinels is not None:
            await self._sentinels.close()
        if self._embedded is not None:
            await self._embedded.detach()


async def open_store(url: str, *, data_dir: Path, replicas: int = 0) -> Store:
    """Open the store that ``url`` names; ``data_dir`` is the folder of the embedded one.

    ``replicas``: how many replicas must hold a grant, an erasure or a revocation before it is answered.

    Raises:
        InvalidAddress: The URL has none of the forms of `metering.store.address`.
        EmbeddedError: The embedded server did not start.
        StoreUnavailable: The server could not be reached within `OPEN_SECONDS`, or refused the credentials.
    """
    address = read_address(url)
    embedded = await Embedded.attach(data_dir) if address.kind is StoreKind.EMBEDDED else None
    sentinels = Sentinels(address, _OPTIONS) if address.kind is StoreKind.SENTINEL else None
    client: Redis | RedisCluster | None = None
    try:
        if embedded is not None:
            client = Redis(unix_socket_path=await embedded.ensure(), **_OPTIONS)
        else:
            client = sentinels.client() if sentinels is not None else _client(address)
        map_resets(client)
        info = await within(OPEN_SECONDS, _info(client))
    except BaseException as error:
        if client is not None:
            await client.aclose()
        if sentinels is not None:
            await sentinels.close()
        if embedded is not None:
            await embedded.detach()
        if isinstance(error, (RedisError, OSError)) and not isinstance(error, EmbeddedError):
            fix = "check store.url, its credentials, and that the server runs"
            raise StoreUnavailable(
                f"the store at {address.places} cannot be used ({type(error).__name__}); {fix}"
            ) from None
        raise
    return Store(client, info, embedded=embedded, sentinels=sentinels, replicas=replicas)


def _client(address: StoreAddress) -> Redis | RedisCluster:
    ((host, port),) = address.hosts
    options: dict[str, Any] = {**_OPTIONS, "username": address.username, "password": address.password}
    if address.tls:
        options |= {"ssl": True, **address.tls_options}
    if address.kind is StoreKind.CLUSTER:
        return Cluster(host=host, port=port, **options)
    return Redis(host=host, port=port, db=address.db, **options)


async def _info(client: Redis | RedisCluster) -> StoreInfo:
    if isinstance(client, RedisCluster):
        await client.initialize()
        reply = await client.execute_command("INFO", "server", target_nodes=client.get_primaries()[0])
    else:
        reply = await _execute(client, "INFO", "server")
    server = info_fields(reply)
    if "valkey_version" in server:
        return StoreInfo("valkey", server["valkey_version"], isinstance(client, RedisCluster))
    return StoreInfo("redis", server.get("redis_version", "0"), isinstance(client, RedisCluster))


async def _execute(client: Redis, *command: str | bytes) -> Any:
    return await client.execute_command(*command)  # type: ignore[no-untyped-call] # so in redis-py


def info_fields(reply: Any) -> dict[str, str]:
    """A section of INFO as strings, whether redis-py parsed it or not."""
    if isinstance(reply, bytes):
        pairs = (line.split(":", 1) for line in reply.decode().splitlines() if ":" in line)
        return dict(pairs)
    if isinstance(reply, dict) and len(reply) == 1 and isinstance(next(iter(reply.values())), dict):
        reply = next(iter(reply.values()))
    return {str(name): str(value) for name, value in reply.items()}
