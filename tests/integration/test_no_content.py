"""Nothing of a prompt or an answer is in the data directory, the log, the metrics or the store."""

import asyncio
import os
from pathlib import Path

from benchmarks.simulator import MARK
from gateway.config.load import load
from metering.store.store import open_store
from tests.integration.conftest import prompt
from tests.raw_http import ask, request

CANARY = "canary-4f1e-of-the-prompt"
PATH_CANARY = "canary-77aa-of-the-path"
HEADER_CANARY = "canary-90cd-of-a-header"


def dump(config: Path) -> bytes:
    """Every key of the store with what it holds, in all of its types."""

    async def read() -> bytes:
        loaded = load(config)
        store = await open_store(loaded.store.url, data_dir=loaded.server.data_dir)
        parts: list[bytes] = []
        try:
            async for key in store.client.scan_iter(count=1000):
                name = key if isinstance(key, bytes) else key.encode()
                kind = await store.client.type(key)
                text = kind.decode() if isinstance(kind, bytes) else kind
                reader = {
                    "string": lambda key=key: store.client.get(key),
                    "hash": lambda key=key: store.client.hgetall(key),
                    "zset": lambda key=key: store.client.zrange(key, 0, -1),
                    "set": lambda key=key: store.client.smembers(key),
                    "list": lambda key=key: store.client.lrange(key, 0, -1),
                    "stream": lambda key=key: store.client.xrange(key),
                }[text]
                parts += [name, repr(await reader()).encode()]
        finally:
            await store.close()
        return b"\n".join(parts)

    return asyncio.run(read())


def environment(pid: int) -> bytes:
    """What its environment shows: nothing where the process is closed to its own user, as it should be."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes()
    except PermissionError:
        return b""


def traffic(running) -> None:
    headers = {**running.auth, "x-note": HEADER_CANARY, "user-agent": HEADER_CANARY, "cookie": HEADER_CANARY}
    for kind in ("openai", "anthropic", "google"):
        for script in ("plain", "reset-mid", "cut-event", "unavailable", "refuse", "gzip", "huge-headers", "surplus"):
            for stream in (True, False):
                path, body = prompt(kind, script, CANARY, stream=stream)
                ask(running.url, request("POST", path, body, headers=headers))
        for script in ("hang", "paced"):
            with running.client() as client:
                before = running.sim.stats()["requests"]
                path, body = prompt(kind, script, CANARY)
                client.send(request("POST", path, body, headers=headers))
                running.sim.wait(requests=before + 1)
                if script == "paced":
                    client.head()
                    client.chunk()
        path, body = prompt(kind, "plain", CANARY)
        for broken in (body[:-3], body.replace(b"plain", CANARY.encode()), CANARY.encode()):
            ask(running.url, request("POST", path, broken, headers=headers))
    for path in (
        f"/v1/{PATH_CANARY}",
        f"/v1/models/{PATH_CANARY}",
        f"/v1/requests/{PATH_CANARY}",
        f"/v1/models?key={PATH_CANARY}",
    ):
        ask(running.url, request("GET", path, headers=headers))
    for raw in (
        f"NONSENSE {PATH_CANARY}\r\n\r\n{CANARY}".encode(),
        request("POST", "/v1/messages", headers={**headers, "transfer-encoding": "chunked"})
        + CANARY.encode()
        + b"\r\n",
        request("GET", f"/{PATH_CANARY}" + "y" * 70_000),
    ):
        ask(running.url, raw)


def test_no_canary_is_anywhere(running):
    traffic(running)
    running.sim.wait(active=0)
    running.next_logged(3 * (8 * 2 + 2))
    gateway = running.gateway
    places = {
        "log": gateway.log.read_bytes(),
        "metrics": ask(gateway.internal, request("GET", "/metrics")).body,
        "store": dump(gateway.config),
        "usage": repr(gateway.usage()).encode(),
        "environment": environment(gateway.process.pid),
    }
    for folder, _, names in os.walk(gateway.folder):
        for name in names:
            file = Path(folder) / name
            if file.is_file():
                places[str(file.relative_to(gateway.folder))] = file.read_bytes()
    assert len(places["store"]) > 1000
    assert any(name.startswith("data") and content for name, content in places.items())
    for name, content in places.items():
        for canary in (CANARY, PATH_CANARY, HEADER_CANARY, MARK):
            if name == "gateway.toml":
                continue
            assert canary.encode() not in content, (name, canary)


def test_the_search_would_find_what_is_there(running):
    assert running.pid.encode() in dump(running.gateway.config)
