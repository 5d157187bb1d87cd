"""redis-py's connections, changed so that a write to one that was reset is an error of the store.

uvloop raises RuntimeError for it, which redis-py passes on: it would not try again on a new connection, and a request
would fail as by a bug of the gateway.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from redis.asyncio import Redis, RedisCluster
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as StoreConnectionError


class _Mapped(AbstractConnection):
    async def send_packed_command(self, command: bytes | str | Iterable[bytes], check_health: bool = True) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError:  # redis-py has closed the connection
            raise StoreConnectionError("the connection was reset") from None


def map_resets(client: Redis | RedisCluster) -> None:
    """Change the connections of a client that has none yet."""
    if isinstance(client, RedisCluster):
        kind = _mapped(client.connection_kwargs["connection_class"])
        client.connection_kwargs["connection_class"] = kind
        for node in client.startup_nodes:
            node.connection_class = kind
    else:
        client.connection_pool.connection_class = _mapped(client.connection_pool.connection_class)


def _mapped(kind: type[Any]) -> type[Any]:
    return type(kind.__name__, (_Mapped, kind), {})
