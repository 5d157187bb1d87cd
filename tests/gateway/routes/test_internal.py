from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from gateway.metrics import Registry
from gateway.routes.internal import make_internal


async def test_ready_says_what_is_missing_and_metrics_are_text() -> None:
    registry = Registry()
    counter = registry.counter("things_total", "Things.")
    registry.bind(registry.create(1), 0)
    counter.add(2)
    missing: list[str] = []

    async def faults() -> list[str]:
        return missing

    async with TestClient(TestServer(make_internal(registry, faults))) as client:
        assert (await client.get("/livez")).status == 200
        ready = await client.get("/readyz")
        assert (ready.status, await ready.json()) == (200, {"status": "ready", "missing": []})
        missing.append("store: does not answer")
        waiting = await client.get("/readyz")
        assert (waiting.status, (await waiting.json())["missing"]) == (503, ["store: does not answer"])
        assert "things_total 2" in await (await client.get("/metrics")).text()


async def test_what_no_route_takes_is_a_problem_with_a_code() -> None:
    registry = Registry()

    async def faults() -> list[str]:
        return []

    async with TestClient(TestServer(make_internal(registry, faults))) as client:
        missing = await client.get("/internal/usage")
        assert (missing.status, (await missing.json(content_type=None))["code"]) == (404, "not_found")
        wrong = await client.post("/livez")
        assert (wrong.status, (await wrong.json(content_type=None))["code"]) == (405, "method_not_allowed")
        assert wrong.headers["allow"] == "GET, HEAD"
