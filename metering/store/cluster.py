"""redis-py's Cluster client, changed so that all its errors are `RedisError`.

redis-py raises `RedisClusterException`, which is not a `RedisError`, when it cannot find the Cluster's nodes or slots.
A caller that handles an unavailable store would not catch it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import RedisClusterException, RedisError


class ClusterUnreachable(RedisError):
    """No node says where the slots are."""


class Cluster(RedisCluster):
    async def initialize(self, *arguments: Any, **named: Any) -> RedisCluster:
        with mapped():
            return await super().initialize(*arguments, **named)

    async def execute_command(self, *arguments: Any, **named: Any) -> Any:
        with mapped():
            return await super().execute_command(*arguments, **named)


@contextmanager
def mapped() -> Iterator[None]:
    """Raise `ClusterUnreachable` in place of redis-py's own error."""
    try:
        yield
    except RedisClusterException:
        raise ClusterUnreachable("the Cluster cannot be reached") from None
