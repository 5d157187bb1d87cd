"""What holds for every command: wrong usage, faults, the audit stream, the store."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Awaitable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click
import orjson
import pytest

from gateway.cli import COMMANDS, cli
from gateway.cli.options import credits_text, span, write_table
from metering.store.store import Store
from tests.gateway.cli.commands import CONFIG, Command, Done, command, noted, on_store

__all__ = ["command"]
README = (Path(__file__).parents[3] / "README.md").read_text()


@pytest.mark.parametrize(
    "arguments", [("accounts", "show"), ("usage", "list"), ("sessions", "list"), ("sessions", "revoke")]
)
def test_a_user_without_an_account(arguments: tuple[str, ...], command: Command) -> None:
    done = command(*arguments, "--user", "nobody", "--json")
    assert (done.code, done.out) == (1, "")
    assert done.err == "error: the user has no account; create one with: codegrex-gateway sessions create\n"


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


def every_command(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in group.list_commands(context):
        found = group.get_command(context, name)
        assert found is not None
        inner = click.Context(found, context, info_name=name, terminal_width=80)
        yield inner.command_path, found, inner
        if isinstance(found, click.Group):
            yield from every_command(found, inner)


def test_no_help_is_cut_and_all_of_it_fits_80_columns() -> None:
    top = click.Context(cli, info_name="codegrex-gateway", terminal_width=80)
    seen = [("codegrex-gateway", cli, top), *every_command(cli, top)]
    for path, found, context in seen:
        text = found.get_help(context)
        assert max(map(len, text.splitlines())) <= 80, path
        if isinstance(found, click.Group):
            assert not [line for line in text.splitlines() if line.endswith("...") and "Usage" not in line], path
        assert found.help, path
        unsaid = [option.name for option in found.params if isinstance(option, click.Option) and not option.help]
        assert not unsaid, path
    assert {"codegrex-gateway accounts grant", "codegrex-gateway privacy verify"} <= {path for path, _, _ in seen}


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_shell_completion_as_the_readme_says(shell: str) -> None:
    name = f"_CODEGREX_GATEWAY_COMPLETE={shell}_source"
    assert name in README or f"{shell}: {shell}_source" in README
    words = {"COMP_WORDS": "codegrex-gateway accounts gr", "COMP_CWORD": "2", "PATH": os.environ["PATH"]}
    if shell == "fish":
        words["COMP_CWORD"] = "gr"
    program = "from gateway.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**words, "_CODEGREX_GATEWAY_COMPLETE": f"{shell}_complete"},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    assert "grant" in done.stdout


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (80, "id    name  count\n----  ----  -----\nid-1  long  1,000"),
        (14, "id    count\n----  -----\nid-1  1,000"),
        (9, "id     id-1\nname   long\ncount  1,000"),
    ],
)
def test_a_table_that_does_not_fit_leaves_columns_out_and_cuts_nothing(
    columns: int, expected: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    rows: list[tuple[object, ...]] = [("id-1", "long", 1_000), ("id-2", "x", 7)]
    write_table("2 things", ("id", "name", "count"), rows, brief=("id", "count"))
    assert expected in capsys.readouterr().out


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(1, "1 s"), (90, "90 s"), (900, "15 min"), (3_600, "1 h"), (86_400, "1 d"), (2_592_000, "30 d")],
)
def test_times_as_people_say_them(seconds: int, said: str) -> None:
    assert span(seconds) == said


@pytest.mark.parametrize(
    ("amount", "shown"), [(0, "0"), (2_500_000, "2.5"), (-1, "-0.000001"), (1_234_000_000, "1,234"), (10, "0.00001")]
)
def test_credits_are_shown_exactly(amount: int, shown: str) -> None:
    assert credits_text(amount) == shown


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
    assert done.err.startswith(f"error: store.url: the store at 127.0.0.1:{port} cannot be used (")
    assert "; check store.url, its credentials, " in done.err
    assert len(done.err.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("check",), ("serve",), ("sessions", "list")])
def test_a_data_directory_that_is_a_file(command: Command, arguments: tuple[str, ...]) -> None:
    (command.folder / "data").write_text("")
    done = command(*arguments)
    assert done.code == 1
    assert done.err == f"error: server.data_dir: {command.folder / 'data'} is not a folder; choose another folder\n"


def test_a_data_directory_below_a_file_is_a_fault_and_check_makes_none(command: Command) -> None:
    (command.folder / "file").write_text("")
    command.configure('[server]\ndata_dir = "file/data"\n' + CONFIG)
    done = command("check", "--json")
    assert done.code == 1
    [fault] = orjson.loads(done.out)["faults"]
    assert fault["key"] == "server.data_dir"
    assert fault["fix"]
    command.configure('[server]\ndata_dir = "new/data"\n' + CONFIG)
    assert command("check").code == 0
    assert not (command.folder / "new").exists()


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], *([name, "--help"] for name in COMMANDS)])
def test_every_command_starts_in_an_interpreter_that_has_imported_nothing(arguments: list[str]) -> None:
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
