"""What an account is entitled to, as the billing service states it, with a version.

The hash ``a:<pid>`` holds it. Rule: a version never goes back. What is written under one version is
never replaced by something else under the same one, so that two writers cannot undo each other.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import orjson

from gateway.auth.principal import Client
from gateway.identity import digest

# keys: a:<pid>      args: version, content
_WRITE = """
local version = redis.call('HGET', KEYS[1], 'version')
if version and tonumber(version) > tonumber(ARGV[1]) then return 0 end
if version and tonumber(version) == tonumber(ARGV[1]) then
  return redis.call('HGET', KEYS[1], 'content') == ARGV[2] and 1 or 0
end
redis.call('HSET', KEYS[1], 'version', ARGV[1], 'content', ARGV[2])
return 1
"""


@dataclass(frozen=True, slots=True)
class Entitlements:
    """``version`` 0 is nothing stated yet; ``org`` is a digest (`org_digest`).

    ``min_app``: the oldest app version that may be used, by platform.
    """

    version: int
    tier: str = ""
    models: frozenset[str] = frozenset()
    region: str = ""
    mode: str = ""
    org: str = ""
    min_app: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


def account_key(pid: str) -> str:
    return f"a:{pid}"


def org_digest(key: bytes, org: str) -> str:
    """What stands for an organisation in `Entitlements.org`; ``key`` is the identity key."""
    return digest(key, "organisation", org)


async def erase(client: Client, pid: str) -> None:
    """Forget an account's. Raises redis-py's errors."""
    await client.delete(account_key(pid))


async def read(client: Client, pid: str) -> Entitlements:
    """What is stated of an account. Raises redis-py's errors."""
    values: Any = await client.hmget(account_key(pid), ["version", "content"])
    if values[0] is None:
        return Entitlements(0)
    content = orjson.loads(values[1])
    return Entitlements(int(values[0]), **{**content, "models": frozenset(content["models"])})


async def write(client: Client, pid: str, entitlements: Entitlements) -> bool:
    """State them anew; false when the stored version is newer, or equal with other content."""
    content = {
        "tier": entitlements.tier,
        "models": sorted(entitlements.models),
        "region": entitlements.region,
        "mode": entitlements.mode,
        "org": entitlements.org,
        "min_app": dict(entitlements.min_app),
    }
    text = orjson.dumps(content, option=orjson.OPT_SORT_KEYS)
    done: Any = await client.eval(_WRITE, 1, account_key(pid), str(entitlements.version), text)
    return bool(done)
