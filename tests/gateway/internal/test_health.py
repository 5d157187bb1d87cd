from __future__ import annotations

from aiohttp.test_utils import TestClient, TestServer

from gateway.hardening.environment import remote_debugging
from gateway.internal.health import make_internal
from gateway.telemetry.instruments import RELEASE, Instruments


async def test_ready_says_what_is_missing_and_metrics_are_text() -> None:
    instruments = Instruments(["openai"])
    instruments.registry.bind(instruments.registry.create(1), 0)
    instruments.local_mode.add(2)
    missing: list[str] = []

    async def faults() -> list[str]:
        return missing

    async with TestClient(TestServer(make_internal(instruments, faults))) as client:
        assert (await client.get("/livez")).status == 200
        ready = await client.get("/readyz")
        assert (ready.status, await ready.json()) == (200, {"status": "ready", "missing": []})
        missing.append("store: does not answer")
        waiting = await client.get("/readyz")
        assert (waiting.status, (await waiting.json())["missing"]) == (503, ["store: does not answer"])
        assert "codegrex_local_mode_refusals_total 2" in await (await client.get("/metrics")).text()


async def test_the_version_is_told() -> None:
    async def faults() -> list[str]:
        return []

    async with TestClient(TestServer(make_internal(Instruments(["openai"]), faults))) as client:
        told = await (await client.get("/version")).json()
        assert set(told) == {"version", "python", "price_list"}
        assert told["version"] == RELEASE


async def test_what_holds_of_the_workers_is_counted() -> None:
    instruments = Instruments(["openai"])
    descriptor = instruments.registry.create(4)  # of these rows two are in use
    for row in (2, 0):
        instruments.registry.bind(descriptor, row)
        instruments.registry.cells[instruments.tasks.column()] = 7

    async def faults() -> list[str]:
        return []

    async with TestClient(TestServer(make_internal(instruments, faults))) as client:
        found = await (await client.get("/hardening")).json()
        assert found["workers"] == 2
        assert set(found["held"].values()) == {0}
        instruments.note_hardening()
        found = await (await client.get("/hardening")).json()
        assert found["held"]["remote_debugging_off"] == (not remote_debugging())  # of the one that looked


async def test_what_no_route_takes_is_a_problem_with_a_code() -> None:
    async def faults() -> list[str]:
        return []

    async with TestClient(TestServer(make_internal(Instruments(["openai"]), faults))) as client:
        missing = await client.get("/internal/usage")
        assert (missing.status, (await missing.json(content_type=None))["code"]) == (404, "not_found")
        wrong = await client.post("/livez")
        assert (wrong.status, (await wrong.json(content_type=None))["code"]) == (405, "method_not_allowed")
        assert wrong.headers["allow"] == "GET, HEAD"
