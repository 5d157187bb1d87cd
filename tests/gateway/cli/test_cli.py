"""The real command, as a subprocess, on an embedded store in a folder of its own; no server runs."""

from __future__ import annotations

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import pytest

from gateway.auth.identity import load_key
from gateway.auth.principal import Denial, Mode, Principal, lookup, sid_of
from gateway.config.load import load
from metering.accounts.audit import read_audit
from metering.accounts.credit_watch import level_key
from metering.ledger.ledger import Ledger, Limits, Reservation
from metering.spool import frames
from metering.store.store import Store, open_store
from metering.usage import UsageRecord
from tests.ledger_fixtures import usage_record

CONFIG = """
[providers.openai]
kind = "openai"
api_keys = ["env:CLI_TEST_KEY"]
retention_days = 30
training = false
region = "us"
[tiers.pro]
concurrent = 4
[[models]]
name = "m"
targets = [{provider = "openai", model = "gpt-x"}]
price = {input = 1, output = 2}
"""
KEY = "sk-test-of-the-command-line"

Result = TypeVar("Result")


@dataclass(frozen=True)
class Command:
    """Runs ``codegrex-gateway`` with the configuration of a folder."""

    folder: Path

    def __call__(self, *arguments: str, env: dict[str, str] | None = None, program: str = "") -> Done:
        program = program or "from gateway.cli import main; main()"
        command = [sys.executable, "-c", program, *arguments, "--config", str(self.folder / "gateway.toml")]
        base = {name: value for name, value in os.environ.items() if not name.endswith("_KEY")}
        full = {**base, "CLI_TEST_KEY": KEY, "TZ": "UTC", **(env or {})}
        done = subprocess.run(command, capture_output=True, text=True, check=False, env=full, timeout=60)
        assert "Traceback" not in done.stderr, done.stderr
        assert KEY not in done.stdout + done.stderr
        return Done(done.returncode, done.stdout, done.stderr)

    def configure(self, text: str) -> None:
        (self.folder / "gateway.toml").write_text(text)


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """Standard output as JSON lines; the command must have succeeded quietly."""
        assert (self.code, self.err) == (0, "")
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def command(tmp_path: Path) -> Command:
    made = Command(tmp_path)
    made.configure(CONFIG)
    return made


def on_store(command: Command, work: Callable[[Store], Awaitable[Result]]) -> Result:
    async def opened() -> Result:
        store = await open_store("embedded:", data_dir=command.folder / "data")
        try:
            return await work(store)
        finally:
            await store.close()

    return asyncio.run(opened())


def noted(command: Command) -> list[tuple[str, str, str]]:
    """Actor, action and account of each entry of the audit stream."""

    async def work(store: Store) -> list[tuple[str, str, str]]:
        return [(entry.actor, entry.action, entry.pid) async for entry in read_audit(store)]

    return on_store(command, work)


def token_opens(command: Command, token: str) -> Principal | Denial:
    config = load(command.folder / "gateway.toml", {}, need_keys=False)
    return on_store(command, lambda store: lookup(store.client, load_key(config), token))


def record(pid: str, rid: str, charge: int) -> UsageRecord:
    stated = {"model": "m", "price_version": "config-00000000", "in_uncached": 7, "out_visible": 5}
    return usage_record(rid, pid, charge=charge, cost=charge, **stated)


def settle(command: Command, *records: UsageRecord) -> None:
    async def work(store: Store) -> None:
        ledger = Ledger(store, timeout=5)
        await ledger.load()
        for one in records:
            await ledger.reserve(Reservation(one.rid, one.pid, one.charge, 10, 60_000, Limits()))
            await ledger.settle([one])
        await ledger.close()

    on_store(command, work)


def hold(command: Command, pid: str, amount: int) -> None:
    async def work(store: Store) -> None:
        ledger = Ledger(store, timeout=5)
        await ledger.load()
        await ledger.reserve(Reservation("held", pid, amount, 10, 60_000, Limits()))
        await ledger.close()

    on_store(command, work)


# sessions


def test_a_session_is_made_with_exactly_what_the_contract_says(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--credits", "5", "--tier", "pro", "--json").lines
    assert set(made) == {"access_token", "expires_in", "pid"}
    assert made["expires_in"] == 30 * 24 * 3_600
    found = token_opens(command, made["access_token"])
    assert isinstance(found, Principal)
    assert (found.pid, found.tier, found.mode) == (made["pid"], "pro", Mode.CLOUD)


def test_a_local_session_and_a_short_one(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--mode", "local", "--expires-in", "15m", "--json").lines
    assert made["expires_in"] == 900
    found = token_opens(command, made["access_token"])
    assert isinstance(found, Principal)
    assert found.mode is Mode.LOCAL
    assert found.tier == "default"


def test_credits_add_up_over_the_sessions_of_one_user(command: Command) -> None:
    first = command("sessions", "create", "--user", "u", "--credits", "5", "--json").lines[0]
    second = command("sessions", "create", "--user", "u", "--credits", "0.25", "--json").lines[0]
    assert first["pid"] == second["pid"]
    assert first["access_token"] != second["access_token"]
    assert command("accounts", "show", "--user", "u", "--json").lines == [
        {"granted": 5_250_000, "spent": 0, "held": 0, "available": 5_250_000}
    ]


def test_a_session_without_credits_still_makes_the_account(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--json").lines
    assert command("accounts", "show", "--user", "u", "--json").lines[0]["available"] == 0
    assert noted(command) == [("cli", act, made["pid"]) for act in ("tier_set", "issued", "looked_up")]


def test_credits_that_come_with_a_session_are_a_noted_grant_as_every_other(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--json").lines
    pid = made["pid"]
    on_store(command, lambda store: store.client.set(level_key(pid), 2))  # its owner was told that nothing is left
    command("sessions", "create", "--user", "u", "--credits", "1")
    assert noted(command)[2:] == [("cli", act, pid) for act in ("granted", "tier_set", "issued")]
    assert on_store(command, lambda store: store.client.get(level_key(pid))) is None


def test_for_people_the_token_is_shown_once_and_ids_are_whole(command: Command) -> None:
    made = command("sessions", "create", "--user", "u", "--credits", "1")
    token = made.out.split()[2]
    assert isinstance(token_opens(command, token), Principal)
    listed = command("sessions", "list", env={"COLUMNS": "40"})
    assert token.split("_")[2] in listed.out
    assert token not in listed.out


def test_listing_and_revoking(command: Command) -> None:
    tokens = {user: command("sessions", "create", "--user", user, "--json").lines[0] for user in ("a", "b")}
    listed = command("sessions", "list", "--json").lines
    assert {session["pid"] for session in listed} == {made["pid"] for made in tokens.values()}
    (of_a,) = command("sessions", "list", "--user", "a", "--json").lines
    assert set(of_a) == {
        "sid",
        "pid",
        "tier",
        "mode",
        "region",
        "app_version",
        "platform",
        "created_ms",
        "expires_ms",
        "revoked_ms",
        "name",
        "scopes",
    }
    assert command("sessions", "revoke", of_a["sid"], "--json").lines == [{"revoked": 1}]
    assert token_opens(command, tokens["a"]["access_token"]) is Denial.TOKEN_REVOKED
    assert isinstance(token_opens(command, tokens["b"]["access_token"]), Principal)
    assert command("sessions", "revoke", "--user", "b", "--json").lines == [{"revoked": 1}]
    assert command("sessions", "revoke", "--user", "b", "--json").lines == [{"revoked": 0}]
    assert token_opens(command, tokens["b"]["access_token"]) is Denial.TOKEN_REVOKED
    revoked = [entry for entry in noted(command) if entry[1] == "revoked"]
    assert revoked == [("cli", "revoked", tokens[user]["pid"]) for user in ("a", "b")]


def test_who_looks_at_accounts_is_noted(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "a", "--json").lines
    before = len(noted(command))
    for look in (("sessions", "list"), ("usage", "list")):
        command(*look)
        command(*look, "--user", "a")
    command("accounts", "show", "--user", "a")
    assert noted(command)[before:] == [("cli", "looked_up", pid) for pid in ("", made["pid"]) * 2 + (made["pid"],)]


def test_revocations_are_noted_for_the_gateways_of_this_host(command: Command) -> None:
    """A store that fails over and forgets them is told again by whoever adopts the notes."""
    tokens = [command("sessions", "create", "--user", user, "--json").lines[0]["access_token"] for user in ("a", "b")]
    sid = sid_of(tokens[0])
    assert command("sessions", "revoke", sid, "--json").lines == [{"revoked": 1}]
    assert command("sessions", "revoke", "--user", "b", "--json").lines == [{"revoked": 1}]
    notes = sorted((command.folder / "data/spool").glob("*.log"))
    found = [item for note in notes for item in frames.frames(note.read_bytes())]
    assert sorted(found) == sorted((frames.REVOKED, sid_of(token)) for token in tokens)


@pytest.mark.parametrize("sid", ["s" * 20, "nonsense", "{x}", "cgx_at_short"])
def test_revoking_what_is_not_held(sid: str, command: Command) -> None:
    done = command("sessions", "revoke", sid)
    assert done.code == 1
    assert done.err.startswith("error: 1 of the sessions are not held; see ")


# usage and accounts


def test_usage_records_one_a_line_oldest_first_in_the_order_of_the_contract(command: Command) -> None:
    pids = {
        user: command("sessions", "create", "--user", user, "--credits", "100", "--json").lines[0]["pid"]
        for user in ("a", "b")
    }
    for rid, user in (("r1", "a"), ("r2", "b"), ("r3", "a")):
        settle(command, record(pids[user], rid, 1_000))
    listed = command("usage", "list", "--json").lines
    assert [line["rid"] for line in listed] == ["r1", "r2", "r3"]
    assert list(listed[0]) == list(UsageRecord.__struct_fields__)
    assert listed[0]["v"] == 1
    assert (listed[0]["in_uncached"], listed[0]["cache_read"], listed[0]["charge"]) == (7, 0, 1_000)
    assert [line["rid"] for line in command("usage", "list", "--user", "a", "--json").lines] == ["r1", "r3"]
    assert [line["rid"] for line in command("usage", "list", "--since", "1h", "--json").lines] == ["r1", "r2", "r3"]
    assert command("usage", "list", "--since", "2099-01-01", "--json").lines == []
    table = command("usage", "list", env={"COLUMNS": "40"}).out
    assert "3 requests" in table
    assert pids["a"] in table
    hold(command, pids["a"], 50)
    assert command("accounts", "show", "--user", "a", "--json").lines == [
        {"granted": 100_000_000, "spent": 2_000, "held": 50, "available": 99_997_950}
    ]
    assert "available  99997950" in command("accounts", "show", "--user", "a").out


def test_no_usage_is_no_lines(command: Command) -> None:
    assert command("usage", "list", "--json").lines == []
    assert command("usage", "list").out == "0 requests\n"


@pytest.mark.parametrize(
    "arguments", [("accounts", "show"), ("usage", "list"), ("sessions", "list"), ("sessions", "revoke")]
)
def test_a_user_without_an_account(arguments: tuple[str, ...], command: Command) -> None:
    done = command(*arguments, "--user", "nobody", "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: that user has no account; make one with: codegrex-gateway sessions create\n"


def test_the_user_s_id_is_nowhere_in_the_data_directory(command: Command) -> None:
    user = "someone@example.org"
    command("sessions", "create", "--user", user, "--credits", "1")
    command("accounts", "show", "--user", user)
    files = [path for path in (command.folder / "data").rglob("*") if path.is_file()]
    assert files
    for path in files:
        assert user.encode() not in path.read_bytes()


def test_commands_work_beside_each_other_and_while_the_store_runs(command: Command) -> None:
    def three(_: Store) -> Awaitable[list[Done]]:
        users = ["--user", "u", "--credits", "1", "--json"]
        return asyncio.gather(*(asyncio.to_thread(command, "sessions", "create", *users) for _ in range(3)))

    made = [done.lines[0] for done in on_store(command, three)]
    assert len({one["pid"] for one in made}) == 1
    assert command("accounts", "show", "--user", "u", "--json").lines[0]["granted"] == 3_000_000


def test_work_on_the_store_needs_no_provider_key(command: Command) -> None:
    assert command("sessions", "create", "--user", "u", env={"CLI_TEST_KEY": ""}).code == 0


# wrong usage and faults


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("sessions", "create"),
        ("sessions", "create", "--user", "u", "--credits", "-1"),
        ("sessions", "create", "--user", "u", "--credits", "0.0000001"),
        ("sessions", "create", "--user", "u", "--credits", "nan"),
        ("sessions", "create", "--user", "u", "--credits", "1e300"),
        ("sessions", "create", "--user", "u", "--credits", "many"),
        ("sessions", "create", "--user", "u", "--mode", "hybrid"),
        ("sessions", "create", "--user", "u", "--expires-in", "soon"),
        ("sessions", "create", "--user", "u", "--expires-in", "0"),
        ("sessions", "revoke"),
        ("sessions", "revoke", "s" * 20, "--user", "u"),
        ("usage", "list", "--since", "yesterday"),
        ("accounts", "show"),
        ("serve", "--workers", "0"),
    ],
)
def test_wrong_usage_exits_with_2_and_touches_nothing(arguments: tuple[str, ...], command: Command) -> None:
    done = command(*arguments)
    assert done.code == 2
    assert done.out == ""
    assert "Error: " in done.err
    assert not (command.folder / "data").exists()


def test_a_tier_that_does_not_exist(command: Command) -> None:
    done = command("sessions", "create", "--user", "u", "--tier", "gold")
    assert done.code == 1
    assert done.err == "error: --tier: the configuration has no such tier; use one of default, pro\n"


def test_an_empty_user(command: Command) -> None:
    assert command("sessions", "create", "--user", " ").err == "error: --user: is empty; write the user's id\n"


@pytest.mark.parametrize("arguments", [("usage", "list"), ("serve",), ("check",)])
def test_a_configuration_with_faults_names_each(arguments: tuple[str, ...], command: Command) -> None:
    command.configure(CONFIG + '[server]\nprot = 1\nport = "x"\n')
    done = command(*arguments)
    assert (done.code, done.out) == (1, "")
    assert len(done.err.splitlines()) == 2
    assert all(line.startswith("error: server.") for line in done.err.splitlines())


def test_a_missing_configuration(command: Command) -> None:
    (command.folder / "gateway.toml").unlink()
    done = command("usage", "list")
    assert done.code == 1
    assert "does not exist; copy gateway.example.toml" in done.err


def test_a_store_that_is_away(command: Command) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        port = server.server_address[1]
    command.configure(CONFIG + f'[store]\nurl = "redis://127.0.0.1:{port}"\n')
    done = command("usage", "list")
    assert done.code == 1
    assert done.err.startswith("error: store.url: the store does not answer as it should; check ")
    assert len(done.err.splitlines()) == 1


def test_a_data_directory_that_is_a_file(command: Command) -> None:
    (command.folder / "data").write_text("")
    done = command("sessions", "list")
    assert done.code == 1
    assert done.err.startswith("error: identity.key: ")


def test_version_and_help() -> None:
    for arguments in (["--version"], ["--help"], ["sessions", "create", "--help"]):
        done = subprocess.run([sys.executable, "-m", "gateway", *arguments], capture_output=True, text=True, check=True)
        assert "codegrex-gateway" in done.stdout


def test_help_of_the_command_line_imports_no_provider_sdk() -> None:
    program = (
        "import sys\nfrom gateway.cli import accounts, check, serve, sessions\n"
        "heavy = ('openai', 'anthropic', 'google.genai', 'google.generativeai', 'genai_prices', 'pydantic')\n"
        "print([name for name in heavy if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# check


def test_check_says_what_would_be_served(command: Command) -> None:
    [found] = command("check", "--json").lines
    [statement] = found.pop("statements")
    assert {"name", "company", "region", "retention_days", "training"} <= statement.keys()
    [place] = found.pop("egress")
    assert (place["for"], place["prompts"]) == ("providers.openai", True)
    paths = found.pop("paths")["openai"]
    assert paths["openai.chat"] == f"https://{place['host'].removesuffix(':443')}/v1/chat/completions"
    assert {operation.partition(".")[0] for operation in paths} == {"openai"}
    assert found == {
        "valid": True,
        "faults": [],
        "providers": ["openai"],
        "models": 1,
        "price_version": load_version(command),
    }
    shown = command("check").out
    assert "the configuration is valid" in shown
    assert place["host"] in shown.split("connects to")[1]
    assert all(url in shown.split("asks")[1] for url in paths.values())
    assert not (command.folder / "data").exists()


def test_check_shows_the_whole_address_of_each_operation(command: Command) -> None:
    command.configure(
        provider("glm", "openai", "https://h.example/api/paas/v4", '"env:LIVE"')
        + provider("claude", "anthropic", "https://h.example/api/anthropic", '"env:LIVE"')
        + provider("gemini", "google", "https://h.example/v1", '"env:LIVE"')
        + '[[models]]\nname = "m"\ntargets = [{provider = "glm", model = "m"}]\nprice = {input = 1, output = 2}\n'
        "context_window = 1000\nmax_output = 100\n"
    )
    paths = json.loads(command("check", "--json", env={"LIVE": GOOD}).out)["paths"]
    assert paths["glm"]["openai.responses"] == "https://h.example/api/paas/v4/responses"
    assert paths["claude"]["anthropic.count_tokens"] == "https://h.example/api/anthropic/v1/messages/count_tokens"
    assert paths["gemini"]["gemini.stream"] == "https://h.example/v1/models/MODEL:streamGenerateContent"


def load_version(command: Command) -> str:
    from gateway.catalog import catalog

    return catalog.load(load(command.folder / "gateway.toml", {}, need_keys=False)).price_version


def test_check_names_faults_as_json_too(command: Command) -> None:
    command.configure(CONFIG.replace("input = 1, ", ""))
    done = command("check", "--json")
    assert done.code == 1
    assert json.loads(done.out) == {
        "valid": False,
        "faults": [
            {
                "key": "models[0].price.input",
                "wrong": "is missing",
                "mend": "state it in USD per million tokens",
            }
        ],
    }


def test_check_finds_a_model_that_nobody_prices(command: Command) -> None:
    unpriced = CONFIG.replace("price = {input = 1, output = 2}", "")
    command.configure(unpriced)
    done = command("check")
    assert done.code == 1
    assert done.err.startswith(
        "error: models[0].targets[0].price: is missing, and no published price holds for that host"
    )
    command.configure(unpriced.replace('region = "us"', 'region = "global"'))
    done = command("check")
    assert done.code == 1
    assert done.err.startswith("error: models[0].targets[0].price: is missing, and none is published; ")


GOOD = "good-key-for-the-live-check"


class ModelLists(BaseHTTPRequestHandler):
    """The three APIs' model lists; every key but one is refused with a body that quotes it."""

    def do_GET(self) -> None:
        keys = (self.headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key"))
        key = "".join(keys).removeprefix("Bearer ")
        status, body = 200, {"data": [], "models": [], "has_more": False, "first_id": None, "last_id": None}
        if self.path.startswith("/limited"):
            status, body = 429, {"error": {"message": key, "code": 429}}
        elif self.path.partition("?")[0] not in ("/v1/models", "/v1beta/models", "/paas/v4/models"):
            status, body = 404, {"error": {"message": self.path, "code": 404}}
        elif key != GOOD:
            status, body = 401, {"error": {"message": f"bad key {key}", "code": 401, "status": "UNAUTHENTICATED"}}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def model_lists() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ModelLists) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def provider(name: str, kind: str, base_url: str, keys: str = '["env:LIVE", "env:CLI_TEST_KEY"]') -> str:
    return (
        f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{base_url}"\napi_keys = {keys}\n'
        'retention_days = 0\ntraining = false\nregion = "us"\n'
    )


def test_check_live_asks_each_provider_through_its_sdk(command: Command, model_lists: str) -> None:
    kinds = ("openai", "anthropic", "google")
    command.configure("".join(provider(kind, kind, model_lists) for kind in kinds))
    misleading = {
        "http_proxy": "http://127.0.0.1:1",
        "ANTHROPIC_AUTH_TOKEN": "another",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "OPENAI_BASE_URL": "http://127.0.0.1:1",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
    }
    done = command("check", "--live", "--json", env={"LIVE": GOOD, **misleading})
    assert (done.code, done.err) == (1, "")
    assert GOOD not in done.out
    found = [(live["provider"], live["key"], live["ok"]) for live in json.loads(done.out)["live"]]
    expected = [(kind, key, key.startswith("1")) for kind in kinds for key in ("1 of 2", "2 of 2")]
    assert found == [*expected, ("store", "", True)]
    messages = {live["message"] for live in json.loads(done.out)["live"] if not live["ok"]}
    assert messages == {"rejected: the key is not valid"}
    assert not (command.folder / "data").exists()


def test_check_live_is_content_with_keys_that_work(command: Command, model_lists: str) -> None:
    command.configure(provider("openai", "openai", model_lists, '"env:LIVE"'))
    done = command("check", "--live", env={"LIVE": GOOD})
    assert (done.code, done.err) == (0, "")
    assert "accepted" in done.out


def test_check_live_asks_where_the_gateway_would(command: Command, model_lists: str) -> None:
    kinds = ("openai", "anthropic", "google")
    command.configure("".join(provider(kind, kind, f"{model_lists}/paas/v4", '"env:LIVE"') for kind in kinds))
    done = command("check", "--live", "--json", env={"LIVE": GOOD})
    assert [live["message"] for live in json.loads(done.out)["live"]] == ["accepted"] * 4


def test_check_live_tells_a_wrong_path_a_limit_and_silence_apart(command: Command, model_lists: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        closed = server.server_address[1]
    command.configure(
        provider("a", "openai", f"{model_lists}/elsewhere", '"env:LIVE"')
        + provider("b", "anthropic", f"{model_lists}/limited", '"env:LIVE"')
        + provider("c", "google", f"http://127.0.0.1:{closed}", '"env:LIVE"')
    )
    done = command("check", "--live", "--json", env={"LIVE": GOOD})
    assert done.code == 1
    a, b, c, _ = (live["message"] for live in json.loads(done.out)["live"])
    assert a.startswith("no such path: check base_url")
    assert b == "accepted, but its rate or quota is used up"
    assert c.startswith("not reachable (")


def test_check_live_without_the_sdk_says_how_to_get_it(command: Command) -> None:
    program = "import sys; sys.modules['openai'] = None\nfrom gateway.cli import main; main()"
    done = command("check", "--live", program=program)
    assert done.code == 1
    assert done.err == (
        "error: --live needs the package openai, which is not installed; "
        "install it with: pip install 'codegrex-gateway[sdk]'\n"
    )


# serve and dev are handed over


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve",), "gateway.toml 2 models:1"),
        (("serve", "--workers", "2"), "gateway.toml 2 models:1"),
    ],
)
def test_serve_hands_over_to_the_supervisor(arguments: tuple[str, ...], said: str, command: Command) -> None:
    program = """
import sys, types
stub = types.ModuleType("gateway.process.supervisor")
def run(path, config, workers):
    print(path.name, workers or 2, f"models:{len(config.models)}")
    return 7
stub.run = run
sys.modules["gateway.process.supervisor"] = stub
from gateway.cli import main; main()
"""
    done = command(*arguments, program=program)
    assert (done.code, done.out.strip(), done.err) == (7, said, "")
