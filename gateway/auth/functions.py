"""Calls functions of the identity library, and loads the library into a store.

Rules:

1. The library's name contains its version, so that two versions can serve at the same time during an upgrade.
2. If a primary lacks the library (it is new, was emptied, or took over), the first call loads it and is repeated: it
   had not run.
3. These calls are rare (a login, a refresh), so they use the ordinary client.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any

from redis.asyncio import RedisCluster
from redis.exceptions import ResponseError

from gateway.auth.principal import Client, str_of


@cache
def source() -> str:
    """The library's text."""
    return files("gateway.auth").joinpath("auth.lua").read_text()


async def load(client: Client) -> None:
    """Load the library on every primary. Raises redis-py's errors."""
    if isinstance(client, RedisCluster):
        for node in client.get_primaries():
            await client.execute_command("FUNCTION LOAD", "REPLACE", source(), target_nodes=node)
    else:
        await client.function_load(source(), replace=True)


async def call(client: Client, function: str, keys: tuple[str, ...], *arguments: str | int) -> Any:
    """The reply of one function; ``keys`` are in one slot. Raises redis-py's errors."""
    try:
        return await client.fcall(function, len(keys), *keys, *map(str, arguments))
    except ResponseError as error:
        if "unction not found" not in str(error):
            raise
    await load(client)
    return await client.fcall(function, len(keys), *keys, *map(str, arguments))


async def call_for_texts(client: Client, function: str, keys: tuple[str, ...], *arguments: str | int) -> list[str]:
    """`call` for a function that replies with a list of texts."""
    return [str_of(part) for part in await call(client, function, keys, *arguments)]
