"""New workers take the place of old ones under load: no request fails, and streams in flight end in order."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections import defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from benchmarks.load.caller import Caller
from benchmarks.load.payloads import payload
from benchmarks.load.tally import Tally
from benchmarks.soak.stand import CHATTING, TYPING, SoakStand
from benchmarks.soak.traffic import BUSY, Sold, Traffic, errors_of
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, request

LONG = Sold("long", "openai", 10, 150, "@pace-10ms")
ENDLESS = Sold("endless", "openai", 10, 3_000, "@pace-10ms")
BODY = b'{"model": "%b", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'


@pytest.fixture(scope="module")
def stand(tmp_path_factory) -> Iterator[SoakStand]:
    models = (*TYPING, *CHATTING, LONG, ENDLESS)
    with SoakStand(tmp_path_factory.mktemp("restart"), ["one", "two"], models) as stand:
        yield stand


@pytest.fixture
def file(stand: SoakStand) -> Iterator[Path]:
    """The configuration, which is as before once the test has ended."""
    text = stand.file.read_text()
    yield stand.file
    stand.file.write_text(text)


def restart(stand: SoakStand) -> None:
    os.kill(stand.pid, signal.SIGUSR2)


def stop(stand: SoakStand, pid: int) -> list[int]:
    """Signal a worker if it still runs; returns those that do."""
    if pid in (found := stand.workers()):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
    return found


def errors(tallies: Mapping[str, Tally]) -> dict[str, set[str]]:
    """By kind of request; not counted is what a store on a busy machine answered too late."""
    found = {what: set(errors_of(what, tally.errors)) - {BUSY} for what, tally in tallies.items()}
    return {what: names for what, names in found.items() if names}


def chat(stand: SoakStand, model: str) -> bytes:
    return request("POST", CHAT, BODY % model.encode(), headers={"authorization": f"Bearer {stand.tokens['one']}"})


async def replaced(stand: SoakStand, before: set[int]) -> None:
    """Return once two workers serve, none of which is one of ``before``."""
    async with asyncio.timeout(60):
        while before.intersection(now := stand.workers()) or len(now) != 2:
            await asyncio.sleep(0.05)


def test_no_request_fails_and_streams_end_while_all_workers_are_replaced(stand):
    before = set(stand.workers())
    tallies: defaultdict[str, Tally] = defaultdict(Tally)
    tokens = list(stand.tokens.values())
    traffic = Traffic(stand.port, tokens, typing=TYPING, chatting=CHATTING, tally=tallies.__getitem__)
    url = f"http://127.0.0.1:{stand.port}"
    long, short = (
        payload(kind, url=url, token=tokens[0], dialect="openai", model=model)
        for kind, model in (("stream", "long"), ("short", "gpt"))
    )
    farewells = 0

    async def kept(stop: asyncio.Event) -> None:
        """One connection for as long as the gateway keeps it; it must say when it closes."""
        nonlocal farewells
        caller, connection = Caller(stand.port), None
        while not stop.is_set():
            client = await caller.ask(short, tallies["kept"])
            assert connection in {None, client}, "a connection ended without a word"
            connection = None if client.header("connection") == "close" else client
            farewells += connection is None
        caller.close()

    async def fresh(stop: asyncio.Event) -> None:
        """A new connection for each request."""
        while not stop.is_set():
            caller = Caller(stand.port)
            await caller.ask(short, tallies["fresh"])
            caller.close()

    async def stream() -> None:
        caller = Caller(stand.port)
        await caller.ask(long, tallies["long"])
        caller.close()

    async def replace() -> None:
        stop = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            group.create_task(fresh(stop))
            group.create_task(kept(stop))
            for _ in range(8):
                group.create_task(stream())
            while tallies["long"].events < 8 * 2:
                await asyncio.sleep(0.02)
            restart(stand)
            await replaced(stand, before)
            stop.set()

    asyncio.run(traffic.run(replace()))
    assert errors(tallies) == {}
    assert tallies["long"].completed == 8
    assert tallies["fresh"].completed > 5
    assert 1 <= farewells <= 2  # its next connection may be taken by the other old worker
    assert stand.events("worker_died") == 0


@pytest.mark.parametrize(
    "change",
    [("workers = 2", "workers = zero"), ("[internal]", '[store]\nurl = "redis://127.0.0.1:1/0"\n[internal]')],
    ids=["a fault", "another store"],
)
def test_a_file_that_workers_cannot_share_replaces_none(stand, file, change):
    before, refused = stand.workers(), stand.events("restart_refused")
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    restart(stand)
    assert eventually(lambda: stand.events("restart_refused"), lambda found: found == refused + 1)
    assert stand.workers() == before
    with RawClient(f"http://127.0.0.1:{stand.port}") as client:
        assert client.send(chat(stand, "gpt")).answer().complete


def test_a_replaced_worker_is_still_drained_by_sigterm_and_cut_by_the_second_one(stand):
    before = set(stand.workers())
    with RawClient(f"http://127.0.0.1:{stand.port}") as client:
        assert client.send(chat(stand, "endless")).head().status == 200
        assert client.chunk()
        restart(stand)
        eventually(stand.workers, lambda found: len(found) == 3 and len(before.intersection(found)) == 1)
        [leaving] = before.intersection(stand.workers())
        os.kill(leaving, signal.SIGTERM)
        assert client.chunk()
        eventually(lambda: stop(stand, leaving), lambda found: leaving not in found)
    assert stand.events("worker_left_unsettled") == 0
