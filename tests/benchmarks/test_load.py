"""The load generator counts what really happened, also when the answers are bad."""

import asyncio
import json
import subprocess
import sys

import pytest

from benchmarks.load.client import connect
from benchmarks.load.payloads import DIALECTS, payload
from benchmarks.load.run import Options, run
from benchmarks.load.tally import Samples, Tally
from benchmarks.simulator import Simulator, make_certificates


@pytest.fixture
async def sim():
    async with asyncio.timeout(60):
        async with Simulator.start() as simulator:
            yield simulator


async def one(sim, kind="stream", dialect="openai", model="bench"):
    """Send one request and return the tally once its answer ended."""
    tally = Tally()
    done = asyncio.Event()
    client = await connect(sim.host, sim.port, None, tally, lambda _: done.set())
    client.send(payload(kind, url=sim.url, token="t", dialect=dialect, model=model))
    await done.wait()
    if client.alive:
        client.transport.close()
    return tally


@pytest.mark.parametrize("dialect", DIALECTS)
async def test_every_dialect_streams_to_its_end(sim, dialect):
    tally = await one(sim, dialect=dialect, model="bench+chunks=20")
    assert (tally.sent, tally.completed, dict(tally.errors)) == (1, 1, {})
    assert tally.events >= 20
    assert (len(tally.first.values), len(tally.whole.values)) == (1, 1)


@pytest.mark.parametrize("dialect", ["openai", "google"])
@pytest.mark.parametrize("kind", ["short", "embedding"])
async def test_json_answers(sim, kind, dialect):
    tally = await one(sim, kind=kind, dialect=dialect)
    assert (tally.completed, tally.events, dict(tally.errors)) == (1, 0, {})


@pytest.mark.parametrize("form", ["slow_bytes", "coalesced", "early_hints", "no_length", "http10"])
async def test_events_are_counted_however_they_are_cut(sim, form):
    whole = await one(sim, model="bench+chunks=9")
    cut = await one(sim, model=f"bench+chunks=9+fault={form}")
    assert (cut.completed, dict(cut.errors)) == (1, {})
    assert cut.events == whole.events


async def test_an_event_cut_by_chunk_framing_may_be_missed_and_nothing_else(sim):
    # The search is over raw bytes: a chunk's frame inside what it looks for hides that one event.
    whole = await one(sim, model="bench+chunks=9")
    cut = await one(sim, model="bench+chunks=9+fault=split")
    assert (cut.completed, dict(cut.errors)) == (1, {})
    assert whole.events // 2 < cut.events <= whole.events


@pytest.mark.parametrize("kind", ["short", "stream"])
async def test_stated_length(sim, kind):
    assert (await one(sim, kind=kind, model="bench+length=1")).completed == 1


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        ("429", "429"),
        ("close_mid", "truncated"),
        ("cut_event", "truncated"),
        ("error_mid", "truncated"),
        ("reset_mid", "reset"),
        ("refuse", "truncated"),
    ],
)
async def test_bad_answers_are_errors(sim, fault, error):
    tally = await one(sim, model=f"bench+fault={fault}")
    assert tally.completed == 0
    assert dict(tally.errors) == {error: 1}


async def test_no_server():
    options = Options(url="http://127.0.0.1:9", callers=1, seconds=0.3, warmup=0, patience=0.05, progress=False)
    result = await run(options)
    assert result["completed"] == 0
    assert result["errors"]["connect"] >= 1


async def test_closed_loop_keeps_so_many_callers(sim):
    sim.set_defaults(chunks=5, pace=2)
    options = Options(url=sim.url, callers=20, dialects=DIALECTS, seconds=0.3, warmup=0.1, progress=False)
    result = await run(options)
    assert result["open_at_end"] == 20
    assert result["completed"] > 20
    assert result["errors"] == {}
    assert result["first_byte_ms"]["p50"] <= result["first_byte_ms"]["p99"] <= result["whole_ms"]["max"]
    await sim.until(lambda stats: stats.connections_open == 0)


async def test_open_loop_counts_what_found_no_connection(sim):
    sim.set_defaults(fault="hang_headers")
    options = Options(url=sim.url, callers=3, rate=400, seconds=0.3, warmup=0.1, progress=False)
    result = await run(options)
    assert result["open_at_end"] == 3
    assert result["late"] > 0


@pytest.mark.parametrize("scenario", ["aborts", "slow", "ide", "short", "embeddings"])
async def test_scenarios_run_and_leave_nothing_behind(sim, scenario):
    sim.set_defaults(chunks=50, pace=1)
    options = Options(url=sim.url, scenario=scenario, callers=10, seconds=0.6, warmup=0.1, progress=False)
    result = await run(options)
    assert result["errors"] == {}
    if scenario == "aborts":
        assert result["aborted"] > 0
        await sim.until(lambda stats: stats.aborted > 0)
    await sim.until(lambda stats: stats.connections_open == 0 and stats.active == 0)


async def test_tls_with_a_private_authority(tmp_path):
    certificates = make_certificates(tmp_path)
    async with Simulator.start(tls=certificates) as sim:
        options = Options(
            url=sim.url, callers=2, seconds=0.2, warmup=0.1, ca_file=str(certificates.ca_file), progress=False
        )
        assert (await run(options))["completed"] > 0


async def test_command_line_marks_the_window(sim):
    command = [sys.executable, "-m", "benchmarks", "load", "short", "--url", sim.url, "--callers", "2"]
    process = await asyncio.create_subprocess_exec(
        *command, "--seconds", "0.2", "--warmup", "0.1", "--marks", stdout=subprocess.PIPE
    )
    output, _ = await process.communicate()
    first, second, result = (json.loads(line) for line in output.splitlines())
    assert (first, second) == ({"phase": "measuring"}, {"phase": "measured"})
    assert result["completed"] > 0


def test_percentiles():
    samples = Samples()
    assert samples.summary() == {}
    for value in range(1, 102):
        samples.add(value / 1000)
    summary = samples.summary()
    assert (summary["p50"], summary["p99"], summary["max"], summary["mean"]) == (51.0, 100.0, 101.0, 51.0)
