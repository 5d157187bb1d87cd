"""The same act leaves the same in the store, whichever entrance it came through: but for who asked and when."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from benchmarks.simulator import SimulatorProcess
from gateway.config.internal import ServiceScope
from gateway.portal.paths import PagePath
from metering.store.store import Store
from tests.gateway_process import GatewayProcess, model, provider, run_cli
from tests.integration.test_gone_account import TOKEN, Gone

DEVELOPER = "developer"  # whom the development sign-in signs in
ACCOUNT = "/internal/accounts/{user}"

Held = dict[str, str]
Entrance = Callable[[Gone, str], object]


def command(*arguments: str) -> Entrance:
    return lambda at, user: run_cli("accounts", *arguments, "--user", user, config=at.gateway.config)


def service(method: str, path: str, body: object = None) -> Entrance:
    def call(at: Gone, user: str) -> None:
        assert at.service(method, path.format(user=user), body).status == 200

    return call


def page(path: PagePath, status: int = 303, **fields: str) -> Entrance:
    def post(at: Gone, _user: str) -> None:
        assert at.post(path, **fields)[0] == status

    return post


def export(at: Gone, user: str) -> None:
    at.command("accounts", "export", "--user", user).check_returncode()


# In the order in which one account goes through them. The portal's is the last of each.
ACTS: dict[str, tuple[Entrance, ...]] = {
    "choose": (
        command("choose", "--mode", "local", "--region", "eu", "--max-retention-days", "30"),
        service("PUT", f"{ACCOUNT}/choice", {"mode": "local", "region": "eu", "max_retention_days": 30}),
        page(PagePath.POLICY, mode="local", region="eu", retention="30"),
    ),
    "restrict": (command("restrict"), service("PUT", f"{ACCOUNT}/restriction", {"restricted": True})),
    "lift": (command("restrict", "--lift"), service("PUT", f"{ACCOUNT}/restriction", {"restricted": False})),
    "export": (export, service("GET", f"{ACCOUNT}/export"), page(PagePath.EXPORT, 200, form="json")),
    "erase": (command("erase", "--yes"), service("DELETE", ACCOUNT), page(PagePath.DELETE, confirm="delete")),
}
USERS = ("by-command", "by-service", DEVELOPER)


@pytest.fixture(scope="module")
def at(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gone]:
    service = {"token": TOKEN, "scopes": [scope.value for scope in ServiceScope]}
    with SimulatorProcess() as sim:
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("gateway"),
            {"openai": provider("openai", sim.url)},
            [model("plain", "openai", "gpt-4o")],
            {"internal": {"port": 0, "tokens": {"billing": service}}},
        )
        with gateway:
            entered = Gone(gateway, returns=False)
            entered.sign_in()
            yield entered


async def held(store: Store) -> Held:
    """Every key and its content as texts; of the audit stream each entry by itself, without its actor."""
    client: Any = store.client
    read = {
        b"string": client.get,
        b"hash": client.hgetall,
        b"set": client.smembers,
        b"list": lambda name: client.lrange(name, 0, -1),
        b"zset": lambda name: client.zrange(name, 0, -1, withscores=True),
        b"stream": client.xrange,
    }
    found = {}
    async for name in client.scan_iter(count=1_000):
        if name == b"audit":
            for entry, fields in await client.xrange(name):
                found[f"audit {entry.decode()}"] = repr({**fields, b"actor": b""})
        elif not name.startswith((b"b:", b"reaper", b"sweeper")):  # what workers leave beside the acts
            content = await read[await client.type(name)](name)
            found[name.decode()] = repr(sorted(content.items()) if isinstance(content, dict) else content)
    return found


def said(before: Held, after: Held) -> Counter[str]:
    """What an act changed, without ids, digests and times."""

    def plain(text: str) -> str:
        for pattern, word in (
            (r"(audit) \S+", r"\1"),
            (r"\{[0-9]{1,3}\}", "{p}"),
            (r"\bp[a-z2-7]{24}\b", "<pid>"),
            (r"\b[0-9a-f]{32,64}\b", "<digest>"),
            (r"\{[A-Za-z0-9]{20}\}", "{<sid>}"),
            (r"b'[A-Za-z0-9]{20}'", "<sid>"),
            (r"\b1[0-9]{12,15}\b(?:\.0)?(?:-[0-9]+)?", "<time>"),
        ):
            text = re.sub(pattern, word, text)
        return text

    changed = {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)}
    return Counter(f"{plain(name)} = {plain(after.get(name, 'nothing'))}" for name in changed)


def test_an_act_leaves_the_same_whichever_entrance_it_came_through(at: Gone) -> None:
    for user in USERS:
        at.gateway.session(user, 100)
    for act, entrances in ACTS.items():
        left = []
        for user, enter in zip(USERS, entrances, strict=False):
            before = at.gateway.on_store(held)
            enter(at, user)
            left.append(said(before, at.gateway.on_store(held)))
        assert left[0], act
        for one in left[1:]:
            assert one == left[0], act
