"""What holds for every command: wrong usage, faults, the audit stream, the store."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Awaitable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from metering.store.store import Store
from tests.gateway.cli.commands import CONFIG, Command, Done, command, noted, on_store

__all__ = ["command"]


@pytest.mark.parametrize(
    "arguments", [("accounts", "show"), ("usage", "list"), ("sessions", "list"), ("sessions", "revoke")]
)
def test_a_user_without_an_account(arguments: tuple[str, ...], command: Command) -> None:
    done = command(*arguments, "--user", "nobody", "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: that user has no account; make one with: codegrex-gateway sessions create\n"


def test_who_looks_at_accounts_is_noted(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "a", "--json").lines
    before = len(noted(command))
    for look in (("sessions", "list"), ("usage", "list")):
        command(*look)
        command(*look, "--user", "a")
    command("accounts", "show", "--user", "a")
    assert noted(command)[before:] == [("cli", "looked_up", pid) for pid in ("", made["pid"]) * 2 + (made["pid"],)]


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
