"""The canary hunt: markers in every place of a request and an answer, then a search of every sink."""

from __future__ import annotations

import contextlib
import os
import re
import signal
from pathlib import Path

import pytest

from benchmarks.launch import injection
from benchmarks.simulator import SimulatorProcess, make_certificates
from tests import supabase_project
from tests.privacy import sinks
from tests.privacy.canaries import Canaries
from tests.privacy.denied import catalog
from tests.privacy.scenarios import ANSWERS, SCENARIOS, SETTINGS, Setting, drained
from tests.privacy.stage import Stage
from tests.privacy.traffic import form, send
from tests.tools import needs

pytestmark = needs("strace")
# A leak's name in leaks.py, and the sink that must show it.
CONTROLS = {
    "stdout": "stdout",
    "stderr": "stderr",
    "files": "files",
    "base64": "files",
    "gzip": "files",
    "utf16": "files",
    "hashed": "files",
    "spool": "spool",
    "write-calls": "write calls",
    "names": "names and arguments",
    "keys": "store keys",
    "values": "store values",
    "monitor": "MONITOR",
    "store-log": "store log",
    "mapping": "shared mappings",
    "ring": "io_uring",
    "copies": "kernel copies",
    "process": "process",
    "diagnostics": "store diagnostics",
    "datagram": "write calls",
    "label": "internal listener",
    "baggage": "provider",
    "core": "core files",
    "key-log": "key log",
    "snapshot": "RDB",
    "append-only": "AOF",
}
# Leaks that are deleted at once: only what the store has written by itself still holds them.
STORE_FILES = {"snapshot": "store/dump.earlier.rdb", "append-only": "store/appendonlydir/appendonly.aof.*.incr.aof"}


@contextlib.contextmanager
def staged(folder, setting, injected=()):
    certificates = make_certificates(folder / "certificates") if setting.tls else None
    trusted = {"ca_file": str(certificates.ca_file)} if certificates else {}
    with (
        supabase_project.project() if setting.issuer else contextlib.nullcontext("") as issuer,
        SimulatorProcess(tls=certificates, record=True) as sim,
        Stage(
            folder,
            *catalog(sim.url, **trusted),
            setting.more | (supabase_project.configured(issuer) if issuer else {}),
            workers=setting.workers,
            sim=sim,
            canaries=Canaries(),
            environment=setting.environment,
            injected=(*setting.injected, *injected),
            cores=setting.cores,
            issuer=issuer,
        ) as stage,
    ):
        yield stage


@pytest.fixture
def stage(tmp_path, request):
    leaks = (injection(Path(__file__).parent / "leaks.py"),) if "leaking" in request.keywords else ()
    setting = request.node.callspec.params.get("setting", "") if hasattr(request.node, "callspec") else ""
    with staged(tmp_path, SETTINGS.get(setting, Setting()), leaks) as stage:
        yield stage


def search(stage, living=()):
    """What was found, and how many bytes of each sink were searched."""
    living = living or list(sinks.of_the_living(stage))
    stage.finish()
    record, pieces = sinks.of_the_dead(stage)
    assert record.calls > 500
    assert record.cut == 0
    assert record.provider
    return sinks.hits(stage, record, [*living, *pieces]), sinks.searched(record, [*living, *pieces])


@pytest.fixture
def tell(record_property, stage):
    """Say for the report what was tried and found, before it is judged."""

    def tell(found, searched):
        record_property(
            "paths", stage.canaries.scenarios() + [f"answered with {code}" for code in sorted(stage.answers)]
        )
        record_property("sinks", searched)
        record_property("hits", [hit.told() for hit in found])

    return tell


@pytest.mark.parametrize("setting", SCENARIOS)
def test_nothing_is_kept(stage, tell, setting):
    living = []
    for scenario in SCENARIOS[setting]:
        if scenario is drained:
            living = list(sinks.of_the_living(stage))
        scenario(stage)
    found, searched = search(stage, living)
    tell(found, searched)
    assert set(searched) >= {"stderr", "stdout", "AOF", "RDB", "store keys", "MONITOR", "write calls", "store log"}
    assert set(ANSWERS.get(setting, ())) <= stage.answers
    assert [hit.told() for hit in found] == []


def test_every_error_of_the_readme_is_met():
    table = (Path(__file__).parents[2] / "README.md").read_text().split("## Errors")[1].split("\n## ")[0]
    codes = set(re.findall(r"^\| \d{3} \| `([a-z_]+)` \|", table, re.MULTILINE))
    assert codes == {code for some in ANSWERS.values() for code in some}


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL, signal.SIGTERM])
def test_nothing_is_left_by_a_death(stage, number, tell):
    with stage.client() as client:
        client.send(send(stage, "openai", "paced", name=f"{number.name} in a stream")).head()
        client.chunk()
        living = list(sinks.of_the_living(stage))
        os.kill(stage.process.pid, number)
    stage.process.wait(30)
    stage.finish()
    record, pieces = sinks.of_the_dead(stage)
    found = sinks.hits(stage, record, [*living, *pieces])
    tell(found, sinks.searched(record, [*living, *pieces]))
    assert [hit.told() for hit in found] == []


@pytest.mark.leaking
def test_a_leak_into_any_sink_is_caught(stage, record_property):
    (stage.folder / "data/spool").mkdir(exist_ok=True)
    for name in CONTROLS:
        answer = stage.ask(send(stage, "openai", text=f" leak:{name}", name=name))
        assert (name, answer and answer.status) == (name, 200)
    found, searched = search(stage)
    assert set(searched) <= set(CONTROLS.values()), "a sink without a leak that shows that it is seen"
    unnamed = {
        hit.sink for hit in found if not hit.scenario
    }  # a mapping, a ring or a copy says not whose content it took
    caught = {
        hit.scenario
        for hit in found
        if CONTROLS.get(hit.scenario) == hit.sink and Path(hit.where).match(STORE_FILES.get(hit.scenario, "*"))
    }
    caught |= {name for name in ("mapping", "ring", "copies") if CONTROLS[name] in unnamed}
    record_property(
        "controls", [{"leak": name, "sink": sink, "caught": name in caught} for name, sink in CONTROLS.items()]
    )
    assert caught == set(CONTROLS)


@pytest.mark.leaking
def test_a_leak_of_a_form_is_caught(stage, record_property):
    leaks = {name: CONTROLS[name] for name in ("stderr", "files", "values", "write-calls")}
    for name in leaks:
        code = stage.canaries.plant("device code", name) + f" leak:{name}"
        form(stage, "/oauth/token", {"client_id": "codegrex-ide", "device_code": code}, name=name)
    stage.ask(send(stage, "openai"))
    found, _ = search(stage)
    caught = {hit.scenario for hit in found if (hit.place, hit.sink) == ("device code", leaks.get(hit.scenario))}
    record_property("controls", [{"leak": name, "sink": leaks[name], "caught": name in caught} for name in leaks])
    assert caught == set(leaks)
