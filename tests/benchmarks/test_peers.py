"""Other gateways as contenders: what they are told, who takes part, what the kill shows, and how it is written down."""

import json
import re
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner
from rich.console import Console

from benchmarks.cli import main
from benchmarks.compare import accounting
from benchmarks.compare import run as comparison
from benchmarks.compare.contenders import Contender, Route, Unavailable, Upstreams, answered
from benchmarks.compare.gateway import Gateway
from benchmarks.compare.measure import Measurement, Workload
from benchmarks.compare.versions import version_of
from benchmarks.peers import run as peers
from benchmarks.peers import table
from benchmarks.peers.contender import PeerGateway, given
from benchmarks.peers.kill import kept_after_kill
from benchmarks.peers.setups import KINDS, PeerPlace
from benchmarks.ports import free_port
from benchmarks.simulator import SimulatorProcess, make_certificates

NAMES = [kind.name for kind in KINDS]
UPSTREAM = "http://127.0.0.1:4001"
BY_NAME = {kind.name: kind for kind in KINDS}
NOWHERE = Upstreams("http://127.0.0.1:1", "https://127.0.0.1:1", Path("ca.pem"))


@pytest.fixture
def place(tmp_path):
    return PeerPlace(tmp_path / "program", tmp_path / "folder", 4000, (4100, 4101, 4102), UPSTREAM, "sk-caller")


# --- what they are told


@pytest.mark.parametrize("name", NAMES)
def test_a_setup_is_a_value(name, place, tmp_path):
    setup = BY_NAME[name].write(place)
    assert setup == BY_NAME[name].write(place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", NAMES)
def test_a_contender_listens_where_it_shall_and_speaks_to_the_simulator_only(name, place):
    setup = BY_NAME[name].write(place)
    told = "\n".join([*setup.command, *setup.environment.values(), *setup.files.values(), *setup.headers])
    assert "4000" in told
    addresses = set(re.findall(r"https?://[^\s\"/]+", told))
    assert addresses == {UPSTREAM}


@pytest.mark.parametrize("name", NAMES)
def test_only_the_forms_with_records_keep_some_in_their_own_folder(name, place):
    records = BY_NAME[name].write(place).records
    assert (records is not None) == ("+" in name)
    if records is not None:
        assert records[0].parent == place.folder


def test_gomodel(place):
    plain, usage, budgets = (
        BY_NAME[name].write(place).environment for name in ("gomodel", "gomodel+usage", "gomodel+budgets")
    )
    assert plain["OPENAI_BASE_URL"] == f"{UPSTREAM}/v1"
    assert plain["GOMODEL_MASTER_KEY"] == "sk-caller"
    assert {key for key in plain if plain[key] != usage[key]} == {"USAGE_ENABLED"}
    assert budgets == usage | {"BUDGETS_ENABLED": "true", "SET_BUDGET_": "monthly=1000000"}


def test_bifrost(place):
    plain, logs = (json.loads(BY_NAME[n].write(place).files["config.json"]) for n in ("bifrost", "bifrost+logs"))
    assert plain["providers"]["openai"]["network_config"]["base_url"] == UPSTREAM
    assert (plain["logs_store"]["enabled"], logs["logs_store"]["enabled"]) == (False, True)
    assert logs["client"]["disable_content_logging"] is True
    assert BY_NAME["bifrost"].write(place).model == "openai/bench"


def test_agentgateway(place):
    plain, kept = (
        json.loads(BY_NAME[n].write(place).files["config.yaml"]) for n in ("agentgateway", "agentgateway+database")
    )
    assert kept["config"].pop("database") == {"url": f"sqlite://{place.folder}/records.db?mode=rwc"}
    assert plain == kept
    assert plain["llm"]["port"] == 4000
    assert plain["llm"]["models"][0]["params"]["baseUrl"] == f"{UPSTREAM}/v1"
    assert {plain["config"][name] for name in ("adminAddr", "statsAddr", "readinessAddr")} == {
        "127.0.0.1:4100",
        "127.0.0.1:4101",
        "127.0.0.1:4102",
    }


@pytest.mark.parametrize(
    "inside", ["", "build/start-server.js", "node_modules/@portkey-ai/gateway/build/start-server.js"]
)
def test_portkey_is_a_script_or_a_folder_with_it(inside, place):
    script = place.program / inside
    script.parent.mkdir(parents=True, exist_ok=True)
    if inside:
        script.touch()
    setup = BY_NAME["portkey"].write(place)
    assert setup.command[3] == str(script)
    assert f"x-portkey-custom-host: {UPSTREAM}/v1" in setup.headers


# --- who takes part


def test_who_is_not_given_is_left_out():
    assert given({}) == []
    assert not peers.any_given({"GOMODEL": ""})
    assert list(peers.makers(NOWHERE, {})) == ["direct", "nginx", "gateway"]
    found = peers.makers(NOWHERE, {"BIFROST": "/b", "LITELLM": "/l"})
    assert list(found) == ["direct", "nginx", "gateway", "bifrost", "bifrost+logs", "litellm"]


def test_a_product_s_name_stands_for_all_its_forms():
    environment = {"GOMODEL": "/g", "PORTKEY": "/p"}
    assert list(peers.makers(NOWHERE, environment, ["nginx", "gomodel"])) == [
        "direct",
        "nginx",
        "gomodel",
        "gomodel+usage",
        "gomodel+budgets",
    ]
    assert list(peers.makers(NOWHERE, environment, ["gomodel+usage"])) == ["direct", "gomodel+usage"]


def test_without_a_path_the_part_is_left_out(monkeypatch):
    for kind in KINDS:
        monkeypatch.delenv(kind.variable, raising=False)
    monkeypatch.delenv(peers.LITELLM, raising=False)
    monkeypatch.setattr(accounting, "foreign_load", lambda: 0.0)
    result = comparison.compare(rounds=1, parts=("peers",))
    assert (result["peers"], result["skipped"], result["rows"]) == (None, {}, [])


def unused(*_):
    raise AssertionError("nothing is measured of what does not start")


def test_what_does_not_start_is_named_and_does_not_end_the_run(tmp_path):
    program = tmp_path / "broken"
    program.write_text("#!/bin/sh\necho no such setting >&2; exit 1\n")
    program.chmod(0o755)
    state = peers.Rounds(Console(quiet=True), tmp_path, unused)
    environment = {"GOMODEL": str(tmp_path / "missing"), "BIFROST": str(program), "AGENTGATEWAY": str(tmp_path)}
    made = peers.makers(NOWHERE, environment, ["gomodel", "bifrost", "agentgateway"])
    del made["direct"]
    state.play(made, 2)
    assert "does not exist" in state.skipped["gomodel"]
    assert "no such setting" in state.skipped["bifrost"]
    assert "did not start" in state.skipped["agentgateway"]
    assert state.as_dict()["contenders"] == []


def test_versions(tmp_path):
    script = tmp_path / "package/build/start.js"
    script.parent.mkdir(parents=True)
    script.touch()
    (tmp_path / "package/package.json").write_text('{"name": "x", "version": "1.15.2"}')
    assert version_of(script) == "1.15.2"
    linked = tmp_path / "linked"
    linked.write_bytes(b"\x7fELF\0path\texample.org/x/cmd/x\nmod\texample.org/x\tv0.1.9\th1:abc=\ndep\ty\tv2.0.0\n")
    assert version_of(linked) == "v0.1.9"
    linked.write_bytes(b"\x7fELF\0path\tx\nmod\texample.org/x\t(devel)\t\n")
    assert version_of(linked).startswith("SHA-256 ")
    says = tmp_path / "says"
    says.write_text('#!/bin/sh\necho \'{"version": "1.4.0-rc1"}\'\n')
    says.chmod(0o755)
    assert version_of(says) == "1.4.0-rc1"


# --- what the kill shows

FAKE = """
    import json, os, sys
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    port, folder, keeps = int(sys.argv[1]), sys.argv[2], sys.argv[3]
    def note(name, number):
        file = os.open(f"{folder}/{name}", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        os.write(file, b"%d\\n" % number)
        os.close(file)
    if os.path.exists(f"{folder}/journal"):
        with open(f"{folder}/journal") as journal:
            for line in journal:
                note("records", int(line))
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        def log_message(self, *_): pass
        def do_POST(self):
            tokens = len(self.rfile.read(int(self.headers["content-length"]))) // 4
            if keeps in ("every", "guesses") or (keeps == "even" and tokens % 2 == 0):
                note("records", tokens)
            if keeps == "journal":
                note("journal", tokens)
            body = json.dumps({"usage": {"prompt_tokens": tokens}}).encode()
            self.send_response(429 if keeps == "refuses" and tokens > 50 else 200)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


class Fake(Contender):
    """Keeps a file of what it was asked, all of it or less."""

    name = "fake"
    recovery_seconds = 0.5

    def __init__(self, folder, keeps):
        super().__init__(folder, NOWHERE)
        self.keeps = keeps
        self.port = free_port()

    def start(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        script = textwrap.dedent(FAKE)
        self.spawn([sys.executable, "-I", "-c", script, str(self.port), str(self.folder), self.keeps])
        self.wait_for(self.port)
        self.routes = {False: Route(f"http://127.0.0.1:{self.port}")}

    def kept(self):
        if self.keeps == "none":
            return None
        file = self.folder / "records"
        return dict.fromkeys(file.read_text().split(), self.keeps != "guesses") if file.exists() else {}


@pytest.mark.parametrize("keeps", ["every", "even", "nothing", "journal", "guesses", "refuses", "none"])
def test_what_its_records_lack_is_counted_after_the_kill_and_a_restart(keeps, tmp_path):
    fake = Fake(tmp_path, keeps)
    try:
        seen = kept_after_kill(fake, rate=150, seconds=0.7)
    finally:
        fake.stop()
    if keeps == "none":
        assert seen is None
        return
    assert (seen.refused > 0) == (keeps == "refuses")
    assert (seen.answered == set()) == (keeps == "refuses")
    odd = sum(int(tokens) % 2 for tokens in seen.answered)
    assert seen.lost == {"even": odd, "nothing": len(seen.answered)}.get(keeps, 0)
    assert seen.estimated == (len(seen.answered) if keeps == "guesses" else 0)


def test_the_gateway_s_ledger_is_read_after_the_restart(tmp_path):
    with SimulatorProcess() as sim:
        gateway = Gateway(tmp_path, Upstreams(sim.url, sim.url, make_certificates(tmp_path / "tls").ca_file))
        try:
            gateway.recovery_seconds = 3.0  # what the kill cut off between answer and spool is settled a minute later
            seen = kept_after_kill(gateway, rate=100, seconds=1.0)
        finally:
            gateway.stop()
    assert seen.lost < len(seen.answered)  # all but the last moment's; a busy machine refuses some


def test_a_kill_ends_every_process_at_once(tmp_path):
    contender = Contender(tmp_path, NOWHERE)
    contender.spawn(["sh", "-c", "sleep 600 & sleep 600 & wait"])
    pids = []
    while len(pids) < 3:
        pids = accounting.tree(contender.process.pid)
    assert all(map(accounting.alive, pids))
    contender.kill()
    assert contender.process is None
    assert [pid for pid in pids if accounting.alive(pid)] == []


# --- a program in the place of a peer, from its start to its kill

PROGRAM = """
    import os, sqlite3, sys
    sys.argv = ["proxy", os.environ["PORT"], os.environ["OPENAI_BASE_URL"].removesuffix("/v1")]
    import aiohttp.web, orjson
    from benchmarks.compare import plain_proxy
    application = plain_proxy.application
    def recording(*arguments):
        app = application(*arguments)
        if os.environ["USAGE_ENABLED"] == "true":
            database = sqlite3.connect(os.environ["SQLITE_PATH"], isolation_level=None)
            database.execute("CREATE TABLE IF NOT EXISTS usage (input_tokens INTEGER)")
            @aiohttp.web.middleware
            async def record(request, handler):
                body = await request.read()
                database.execute("INSERT INTO usage VALUES (?)", (len(body) // 4,))
                return await handler(request)
            app.middlewares.append(record)
        return app
    plain_proxy.application = recording
    plain_proxy.main()
"""


@pytest.fixture
def program(tmp_path, monkeypatch):
    file = tmp_path / "gomodel"
    file.write_text(f"#!{sys.executable}\n{textwrap.dedent(PROGRAM)}")
    file.chmod(0o755)
    for kind in KINDS:
        monkeypatch.delenv(kind.variable, raising=False)
    monkeypatch.setenv("GOMODEL", str(file))
    return file


def test_a_peer_is_a_process_that_knows_nothing_of_its_caller_s(tmp_path, program):
    with SimulatorProcess() as sim:
        upstreams = Upstreams(sim.url, sim.url, tmp_path / "none.pem")
        peer = PeerGateway(tmp_path / "run", upstreams, BY_NAME["gomodel+usage"], program)
        peer.start()
        try:
            environment = Path(f"/proc/{peer.process.pid}/environ").read_bytes()
            assert f"HOME={tmp_path / 'run' / 'gomodel+usage'}".encode() in environment
            assert b"PYTEST" not in environment
            assert list(peer.kept().values()) == [True]  # what `start` asked
            with pytest.raises(Unavailable, match="no answer: 404"):
                answered(replace(peer.routes[False], model="bench+fault=404"), 0.5)
        finally:
            peer.stop()


def test_records_of_another_form_are_told_and_the_rest_is_measured(tmp_path, program, monkeypatch):
    monkeypatch.setattr(peers, "WORKLOADS", ())
    monkeypatch.setattr(peers, "_SETTLE", 0)
    other = replace(BY_NAME["gomodel+usage"], write=lambda place: replace(whole(place), records=(database, "SELECT x")))
    whole, database = BY_NAME["gomodel+usage"].write, tmp_path / "other.db"
    database.touch()
    state = peers.Rounds(
        Console(quiet=True), tmp_path, lambda workload, *_: measured("gomodel+usage", workload, 0, errors={})
    )
    with SimulatorProcess() as sim:
        upstreams = Upstreams(sim.url, sim.url, tmp_path / "none.pem")
        state.play({other.name: lambda folder: PeerGateway(folder, upstreams, other, program)}, 1)
    result = state.as_dict()
    assert result["skipped"] == {}
    assert result["contenders"] == [other.name]
    assert "no such column" in result["unread"][other.name]
    assert table.lost(result["killed"][other.name]) == "not measured"


def test_the_part_from_start_to_finish(tmp_path, program, monkeypatch):
    small = Workload("", callers=3, seconds=0.3, warmup=0.2, chunks=20, pace=1)
    events, one = (replace(small, name=known.name, scenario=known.scenario) for known in (peers.EVENTS, peers.ONE))
    monkeypatch.setattr(peers, "WORKLOADS", (one, events))
    monkeypatch.setattr(peers, "ONE", one)
    monkeypatch.setattr(peers, "OPEN", replace(events, name=peers.OPEN.name))
    monkeypatch.setattr(peers, "_SETTLE", 0)
    monkeypatch.setattr(accounting, "foreign_load", lambda: 0.0)
    monkeypatch.setattr(peers.kept_after_kill, "__kwdefaults__", {"rate": 100.0, "seconds": 0.5})
    out = tmp_path / "comparison.json"
    result = comparison.compare(rounds=1, parts=("peers",), only=("gomodel+usage",), out=out)["peers"]
    assert result["skipped"] == {}
    assert result["contenders"] == ["gomodel+usage"]
    assert result["errors"] == {}
    measured = {row["name"]: row["values"] for row in result["lines"] if row["values"]}
    assert {"memory idle", "start to first answer", "added for one caller, p50"} < set(measured)
    assert all(value > 0 for values in measured.values() for value in values["gomodel+usage"])
    (killed,) = result["killed"]["gomodel+usage"]
    assert killed["answered"] > 5
    assert killed["lost"] == 0
    page = tmp_path / "page.md"
    page.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    done = CliRunner().invoke(main, ["report", str(out), "--document", str(page)], catch_exceptions=False)
    assert done.exit_code == 0
    text = page.read_text()
    assert text.startswith(f"before\n{table.BEGIN}\n")
    assert text.endswith(f"{table.END}\nafter\n")
    assert f"0 of {killed['answered']:,} (0.0 %)" in text
    assert "old" not in text


# --- how it is written down


def measured(contender, workload, number, **load):
    empty = {
        "events": 0,
        "completed": 0,
        "requests_per_second": 0.0,
        "first_byte_ms": {},
        "whole_ms": {},
        "open_at_end": 0,
    }
    return Measurement(contender, workload.name, number, cpu=load.pop("cpu", 0), load=empty | load)


def test_values_are_compared_within_a_round():
    measurements = []
    for number, (nginx, other) in enumerate(((10_000_000, 20_000_000), (20_000_000, 30_000_000))):
        measurements += [
            measured("nginx", peers.EVENTS, number, cpu=nginx, events=1000),
            measured("other", peers.EVENTS, number, cpu=other, events=1000),
        ]
    first = peers.lines(measurements)[0].as_dict()
    assert first["values"] == {"nginx": [10.0, 20.0], "other": [20.0, 30.0]}
    assert first["ratios"] == {"nginx": [1.0, 1.0], "other": [2.0, 1.5]}
    assert table.cell(first, "nginx") == "15.0 us"
    assert table.cell(first, "other") == "25.0 us, 1.75 x (1.50 to 2.00)"
    assert table.cell(first, "absent") == ""


def test_added_time_and_bodies_are_differences():
    measurements = [
        measured("direct", peers.ONE, 0, whole_ms={"p50": 0.5}),
        measured("other", peers.ONE, 0, whole_ms={"p50": 1.75}),
        measured("other", peers.ONE, 1, whole_ms={"p50": 9.0}),  # a round without direct traffic
        measured("other", peers.SMALL, 0, cpu=1_000_000, completed=10),
        measured("other", peers.LARGE, 0, cpu=40_375_000, completed=10),
        measured("silent", peers.LARGE, 0, cpu=1_000_000),
        measured("silent", peers.EVENTS, 0, first_byte_ms={"p50": 1.0, "p99": 2.0}),  # of its errors
        measured("silent", peers.OPEN, 0),
    ]
    rows = {line.name: line.values for line in peers.lines(measurements) if line.values}
    assert rows == {
        "added for one caller, p50": {"other": {0: 1.25}},
        "CPU per MB of request body, 64 KB to 4 MB": {"other": {0: pytest.approx(1000.0)}},
    }


def counts(answered, lost, estimated):
    return {"answered": answered, "refused": 0, "lost": lost, "estimated": estimated}


@pytest.mark.parametrize(
    ("seen", "text"),
    [
        ([], "not measured"),
        ([None, None], "none kept"),
        ([counts(0, 0, 0)], "0 of 0"),
        ([counts(1200, 0, 0), counts(1200, 24, 0)], "24 of 2,400 (1.0 %)"),
        ([counts(1000, 0, 2)], "0 of 1,000 (0.0 %), 2 estimated"),
    ],
)
def test_what_is_lost_is_summed_over_the_rounds(seen, text):
    assert table.lost(seen) == text


RESULT = {
    "machine": {"cpus": 2, "processor": "Some CPU", "system": "Linux", "python": "3.11.7"},
    "when": "2026-01-31",
    "rounds": 3,
    "command": "python -m benchmarks compare --part peers",
    "variables": ["GOMODEL", "LITELLM"],
    "busy": 0.5,
    "contenders": ["nginx", "gomodel"],
    "lines": [{"name": "memory idle", "unit": "MB", "values": {"nginx": [12.2], "gomodel": [160.4]}, "ratios": {}}],
    "killed": {"nginx": [None], "gomodel": [{"answered": 10, "refused": 0, "lost": 1, "estimated": 0}]},
    "versions": {"nginx": "1.22.1", "gomodel": "v0.1.9"},
    "commands": {"nginx": "nginx -p FOLDER", "gomodel": "gomodel"},
    "unread": {"gomodel": "its records cannot be read: no such table: usage"},
    "skipped": {"litellm": "did not start:\nno module"},
    "errors": {"gomodel": {"429": 1200}},
}


def test_the_table_names_machine_versions_and_commands():
    about, *rest = table.markdown(RESULT).splitlines()
    assert about == (
        "Measured on 2026-01-31 in 3 interleaved rounds, with `GOMODEL=... LITELLM=... python -m benchmarks compare "
        "--part peers`, on 2 processors (Some CPU), Linux, Python 3.11.7. Others kept 0.50 processors busy before it "
        "began: only the ratios count."
    )
    assert rest == [
        "",
        "| what | nginx | gomodel |",
        "|---|---|---|",
        "| memory idle | 12.2 MB | 160 MB |",
        "| answered requests that its records lack when it is killed | none kept | 1 of 10 (10.0 %) |",
        "",
        "| contender | version | started as |",
        "|---|---|---|",
        "| nginx | 1.22.1 | `nginx -p FOLDER` |",
        "| gomodel | v0.1.9 | `gomodel` |",
        "",
        "- litellm: not measured, did not start: no module",
        "- gomodel: its kill was not measured, its records cannot be read: no such table: usage",
        "- gomodel: 1,200 x 429",
    ]


def test_a_page_without_the_place_is_refused(tmp_path):
    results, page = tmp_path / "results.json", tmp_path / "page.md"
    results.write_text(json.dumps({"peers": RESULT}))
    page.write_text("no place\n")
    done = CliRunner().invoke(main, ["report", str(results), "--document", str(page)])
    assert done.exit_code == 1
    assert "lacks the lines" in done.output
    results.write_text(json.dumps({"peers": None}))
    done = CliRunner().invoke(main, ["report", str(results), "--document", str(page)])
    assert "has no peers" in done.output
    assert page.read_text() == "no place\n"


def test_the_document_has_the_place():
    page = Path(__file__).parents[2] / "docs/performance.md"
    assert "new text" in table.into(page.read_text(), "new text")
