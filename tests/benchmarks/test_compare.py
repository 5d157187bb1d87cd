"""The comparison's arithmetic, its accounting, and one small run from start to finish."""

import os
import subprocess
import sys
from dataclasses import replace

import pytest

from benchmarks.compare import accounting, rows
from benchmarks.compare import run as comparison
from benchmarks.compare.contenders import Contender, LiteLLM, Nginx, Unavailable, Upstreams, answered
from benchmarks.compare.measure import Measurement, Workload, measure
from benchmarks.compare.rows import Row, by_round, fill, per_event
from benchmarks.compare.table import ratio_text, wanted_text
from benchmarks.simulator import SimulatorProcess
from tests.tools import needs


def measured(contender, number, cpu, events=1000):
    return Measurement(contender, "w", number, cpu=cpu, load={"events": events, "completed": 1})


def test_ratios_are_made_within_a_round():
    measurements = [
        measured("nginx", 0, 10_000_000),
        measured("gateway", 0, 13_000_000),
        measured("gateway", 1, 30_000_000),
        measured("nginx", 1, 20_000_000),
        measured("nginx", 2, 10_000_000),
        measured("gateway", 2, 12_000_000),
        measured("gateway", 3, 99_000_000),  # nginx has no such round
        measured("aiohttp", 0, 5, events=0),  # nothing to divide by
    ]
    row = fill(Row("r", "us", limit=1.4, goal=1.25), by_round(measurements, "w", per_event))
    assert row.ratios == [1.3, 1.5, 1.2]
    assert row.figure == 1.3
    assert row.values["nginx"] == 10
    assert "aiohttp" not in row.values
    assert ratio_text(row) == "1.30 x (1.20-1.50)"
    assert wanted_text(row) == "<= 1.4 x, goal 1.25"


@pytest.mark.parametrize(
    ("figure", "options", "verdict"),
    [
        (1.2, {"limit": 1.4, "goal": 1.25}, "goal met"),
        (1.3, {"limit": 1.4, "goal": 1.25}, "met"),
        (1.5, {"limit": 1.4, "goal": 1.25}, "missed"),
        (1.9, {"limit": 1.8, "at_least": True}, "met"),
        (1.7, {"limit": 1.8, "at_least": True}, "missed"),
        (None, {"limit": 1.8}, "not measured"),
        (1.7, {"limit": None}, "shown"),
    ],
)
def test_verdicts(figure, options, verdict):
    assert Row("r", "us", ratios=[] if figure is None else [figure], **options).verdict == verdict
    absolute = Row("r", "us", ratio=False, values={} if figure is None else {"gateway": figure}, **options)
    assert absolute.verdict == verdict


def test_accounting_follows_children():
    script = "import subprocess,sys; subprocess.run([sys.executable, '-c', 'print(1, flush=True); input()'])"
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as parent:
        parent.stdout.readline()
        pids = accounting.tree(parent.pid)
        assert len(pids) == 2
        assert all(cpu > 0 for cpu in accounting.cpu_by_process(parent.pid).values())
        memory = accounting.memory_of(pids[1])
        assert 0 < memory.proportional <= memory.resident
        parent.stdin.close()
    assert accounting.cpu_ns(parent.pid) == 0
    assert accounting.memory_of(parent.pid).resident == 0


def test_cpu_time_grows_with_work():
    before = accounting.cpu_ns(os.getpid())
    while accounting.cpu_ns(os.getpid()) == before:  # the scheduler brings it up to date at its ticks
        pass
    assert accounting.cpu_ns(os.getpid()) > before


def test_a_missing_program_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr("shutil.which", lambda *_args, **_options: None)
    monkeypatch.delenv("LITELLM", raising=False)
    for kind in (Nginx, LiteLLM):
        with pytest.raises(Unavailable, match="not installed"):
            kind(tmp_path, Upstreams("http://127.0.0.1:1", "https://127.0.0.1:1", tmp_path)).start()


def test_a_program_that_does_not_start_is_unavailable(tmp_path):
    contender = Contender(tmp_path, Upstreams("", "", tmp_path))
    contender.spawn([sys.executable, "-c", "raise SystemExit('broken')"])
    contender.process.wait()
    with pytest.raises(Unavailable, match="broken"):
        contender.wait_for(9)


def test_one_measurement(tmp_path):
    workload = Workload("small", callers=3, seconds=0.3, warmup=0.2, chunks=20, pace=1)
    with SimulatorProcess() as sim:
        contender = Contender(tmp_path, Upstreams(sim.url, sim.url, tmp_path))
        contender.start()
        result = measure(contender, replace(workload, chunks=10_000_000), sim, 0)
        answered(contender.routes[False], 20.0)  # what is asked afterwards has an end
    assert result.events > 0
    assert result.load["errors"] == {}
    assert result.cpu == 0  # nothing stands in between


def test_a_loaded_machine_is_refused(monkeypatch):
    monkeypatch.setattr(accounting, "foreign_load", lambda: 1.0)
    with pytest.raises(comparison.Loaded, match="--force"):
        comparison.compare()


@pytest.fixture
def small(monkeypatch):
    """Workloads of a third of a second, on a machine that counts as quiet."""
    workload = Workload("streams-200", callers=3, seconds=0.3, warmup=0.2, chunks=20, pace=1)
    monkeypatch.setattr(rows, "STREAMS", workload)
    monkeypatch.setattr(rows, "STREAMS_TLS", replace(workload, name="streams-tls", tls=True))
    monkeypatch.setattr(rows, "STARTS", replace(workload, name="starts-200"))
    monkeypatch.setattr(accounting, "foreign_load", lambda: 0.0)


def test_a_comparison_from_start_to_finish(tmp_path, small):
    out = tmp_path / "comparison.json"
    result = comparison.compare(rounds=1, parts=("streams",), only=("direct", "aiohttp"), out=out)
    assert result["rows"][0]["name"] == "CPU per streamed chunk, 200 streams"
    assert {item["contender"] for item in result["measurements"]} == {"direct", "aiohttp"}
    assert result["rows"][0]["values"]["aiohttp"] > 0
    assert result["rows"][0]["verdict"] == "not measured"
    assert out.exists()


@needs("nginx")
def test_the_gateway_is_compared_with_nginx(small):
    result = comparison.compare(rounds=1, parts=("streams", "tls"), only=("nginx", "gateway"))
    assert result["skipped"] == {}
    assert len(result["rows"]) == 5
    for row in result["rows"]:
        assert set(row["values"]) == {"nginx", "gateway"}
        assert all(value > 0 for value in row["values"].values())
        assert len(row["ratios"]) == 1
