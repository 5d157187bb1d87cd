"""Every command that a document shows is run as it is printed, here or in a named test, or a reason says why not.

A command is a line in a fenced block of shell. One without a decision fails, and so does a decision about a command that
no document shows. Each command is parsed by the program that it starts, whether it is run or not.
"""

from __future__ import annotations

import os
import re
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import click
import pytest

from benchmarks import processes
from benchmarks.cli import main as benchmarks
from benchmarks.ports import free_port
from benchmarks.simulator import SimulatorProcess
from gateway.cli import cli
from tests import tools
from tests.gateway_process import GatewayProcess, model, provider
from tests.test_repository import ROOT, documents, targets

FENCE = re.compile(r"^```(?P<language>[\w-]*)\n(?P<text>.*?)^```", re.MULTILINE | re.DOTALL)
SHELLS = ("sh", "bash", "shell", "console", "zsh")
COMMENT = re.compile(r"""(?:^|\s+)#(?=\s)(?:[^'"]|'[^']*'|"[^"]*")*$""")


@dataclass(frozen=True)
class Run:
    """Run in a shell, in a folder with ``gateway.toml``, beside the gateway that serves it.

    Attributes:
        said: What its output has.
        edits: Addresses and folders that a test may not use, to what is in their place; ``{folder}`` is the test's.
        until_stopped: It runs until Ctrl-C, which comes once it has said that.
    """

    said: str = ""
    edits: Mapping[str, str] = field(default_factory=dict)
    until_stopped: bool = False


@dataclass(frozen=True)
class Elsewhere:
    """The test that runs it: file and function."""

    test: str


@dataclass(frozen=True)
class OnlyChecked:
    """It is parsed, and the files of the repository that it names exist; ``why`` it is not run."""

    why: str


SUITE = OnlyChecked("it installs, checks or tests everything, this test too")
LONG = OnlyChecked("it takes minutes; tests/benchmarks/ runs its parts")
INSTALLS = OnlyChecked("it installs from a registry; `make agents` does, with the same versions")
SYSTEM = OnlyChecked("it changes the system; tests/test_deploy.py checks the unit")
CLUSTER = OnlyChecked("it needs a cluster; tests/test_helm.py renders and validates the chart")
SIGNING = OnlyChecked("it needs a release and an identity; tests/release/test_build.py makes the files that it signs")
README = "tests/test_readme.py"
BROKER = "tests/integration/test_local_broker.py"
SCREEN = Elsewhere(f"{README}::test_the_first_screen_says_where_things_are_and_what_is_simulated")

DECISIONS: dict[str, Run | Elsewhere | OnlyChecked] = {
    # Setting a variable does nothing else.
    r"export( \w+=\S+)+": Run(),
    # README.md, CONTRIBUTING.md, docs/start.md
    r"make run": SCREEN,
    r"(REQUIRE_ALL=1 )?make (setup|tools|test|check)": SUITE,
    r"\.venv/bin/python -m pytest -q tests/metering/ledger": SUITE,
    r"curl -N http://127\.0\.0\.1:8080/v1/chat/completions .*": Elsewhere(
        f"{README}::test_the_curl_line_streams_an_answer"
    ),
    r"curl -s http://127\.0\.0\.1:8080/v1/account .*": Run(said='"available":'),
    r"eval .*_CODEGREX_GATEWAY_COMPLETE=.*|_CODEGREX_GATEWAY_COMPLETE=.*": Elsewhere(
        "tests/gateway/cli/test_cli.py::test_shell_completion_as_the_readme_says"
    ),
    # docs/agents.md
    r"(npm|pipx) install .*": INSTALLS,
    # docs/configuration.md
    r"cp gateway\.example\.toml gateway\.toml": Elsewhere(
        "tests/gateway/config/test_example.py::test_the_example_is_valid_as_it_stands"
    ),
    r"\.venv/bin/codegrex-gateway check --config gateway\.toml": OnlyChecked("docs/operations/running.md has the same"),
    # docs/local-mode.md
    r"codegrex-gateway local": Elsewhere(f"{BROKER}::test_its_first_screen_has_engines_models_and_lines_that_work"),
    r"codegrex-gateway local --isolate --engine-command .*": Elsewhere(
        "tests/integration/test_local_isolation.py::test_an_engine_is_started_inside_and_ends_with_the_broker"
    ),
    r"codegrex-gateway local --isolate --engine unix:.*": Elsewhere(
        "tests/integration/test_local_isolation.py::test_an_isolated_broker_is_reached_and_reaches_an_engine_s_unix_socket"
    ),
    # docs/operations/deploying.md
    r"uv venv /opt/codegrex && uv pip install .*": OnlyChecked(
        "it installs from a registry; tests/gateway/cli/test_verify_install.py installs the wheel"
    ),
    r"install -d /etc/codegrex && install .*": Run(edits={"/etc/codegrex": "{folder}/etc"}),
    r"/opt/codegrex/bin/codegrex-gateway init .*": Elsewhere(
        "tests/gateway/cli/test_init.py::test_every_answer_gives_a_configuration_that_loads"
    ),
    r"cp deploy/systemd/\S+ /etc/systemd/system/": SYSTEM,
    r"systemctl enable .*": SYSTEM,
    r"(kubectl|helm) .*": CLUSTER,
    # docs/operations/releasing.md
    r"pip install sigstore": SIGNING,
    r"sigstore .*": SIGNING,
    r"codegrex-gateway verify-install --manifest .*": Elsewhere(
        "tests/gateway/cli/test_verify_install.py::test_it_is_as_the_manifest_says"
    ),
    # docs/operations/tracing.md
    r"pip install 'codegrex-gateway\[\w+\]'": OnlyChecked("it installs from a registry; the suite has every extra"),
    # docs/operations/running.md and runbook.md
    r"kill -USR2 PID|systemctl kill .* --signal=SIGUSR2 codegrex-gateway": Elsewhere(
        "tests/integration/test_rolling_restart.py"
        "::test_no_request_fails_and_streams_end_while_all_workers_are_replaced"
    ),
    r"curl -s http://127\.0\.0\.1:9090/readyz": Run(said='"ready"'),
    r"codegrex-gateway init": Elsewhere("tests/gateway/cli/test_init.py::test_three_questions_at_a_terminal"),
    r"codegrex-gateway check --config gateway\.toml": Run(said="gpt-6-sol"),
    r"codegrex-gateway check --config gateway\.toml --live": Elsewhere(
        "tests/gateway/cli/test_check.py::test_check_live_is_content_with_keys_that_work"
    ),
    r"codegrex-gateway doctor --config gateway\.toml": Elsewhere(
        "tests/gateway/cli/test_doctor.py::test_a_running_gateway_is_asked"
    ),
    r"codegrex-gateway serve --config gateway\.toml": Elsewhere(
        "tests/integration/test_start_and_stop.py::test_every_form_of_store_is_checked_served_and_drained"
    ),
    r"codegrex-gateway top( --config gateway\.toml)?": Run(said="streams", until_stopped=True),
    r"codegrex-gateway top --once( --json)?": Run(said="streams"),
    r"codegrex-gateway sessions create --config gateway\.toml --user U --credits 500 --json": Run(said="cgx_at_"),
    r"codegrex-gateway switches off provider openai": Run(),
    r"codegrex-gateway switches list": Run(),
    r"codegrex-gateway switches on provider openai": Run(),
    # docs/performance.md
    r"make bench": LONG,
    r"python -m benchmarks (compare|load|profile|floor|micro|soak|chaos|report)\b.*": LONG,
}


def commands() -> dict[str, list[Path]]:
    """Each command as a shell gets it, without comments, and the documents that show it, in their order."""
    found: dict[str, list[Path]] = {}
    for path in documents():
        for fence in FENCE.finditer(path.read_text()):
            if fence["language"] in SHELLS:
                for line in fence["text"].replace("\\\n", " ").splitlines():
                    if command := " ".join(COMMENT.sub("", line.removeprefix("$ ")).split()):
                        found.setdefault(command, []).append(path)
    return found


COMMANDS = commands()


def decision(command: str) -> Run | Elsewhere | OnlyChecked | None:
    fitting = [one for pattern, one in DECISIONS.items() if re.fullmatch(pattern, command)]
    assert len(fitting) <= 1, command
    return fitting[0] if fitting else None


@pytest.mark.parametrize("command", COMMANDS)
def test_there_is_a_decision(command: str) -> None:
    assert decision(command) is not None, f"decide in DECISIONS how this is tested: {command}"


def test_every_decision_is_about_a_command_that_is_shown() -> None:
    assert [pattern for pattern in DECISIONS if not any(re.fullmatch(pattern, one) for one in COMMANDS)] == []


@pytest.mark.parametrize("test", sorted({one.test for one in DECISIONS.values() if isinstance(one, Elsewhere)}))
def test_the_test_that_runs_it_exists(test: str) -> None:
    file, _, name = test.partition("::")
    assert re.search(rf"^(async )?def {name}\(", (ROOT / file).read_text(), re.MULTILINE)


def test_no_block_of_commands_has_another_language() -> None:
    """A block without one would not be looked at."""
    for path in documents():
        for fence in FENCE.finditer(path.read_text()):
            if fence["language"] not in SHELLS:
                assert not re.search(
                    r"^(\$ )?(codegrex-gateway|make|curl|pip|python3?) ", fence["text"], re.MULTILINE
                ), path


@pytest.mark.parametrize("command", COMMANDS)
def test_its_program_takes_it(command: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for file in re.findall(r"(?<=\s)[\w./-]+\.(?:json|md|toml)\b", command):  # which an earlier command has written
        if not file.startswith("/"):
            (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / file).touch()
    for part in re.split(r" && | \| |\$\(|\)", command):
        words = shlex.split(part.replace('"', "")) if part.count('"') % 2 else shlex.split(part)
        while words and re.fullmatch(r"\w+=.*", words[0]):
            words.pop(0)
        match words:
            case [program, first, *rest] if program.endswith("codegrex-gateway"):
                parsed(cli, [first, *rest])
            case ["python", "-m", "benchmarks", *arguments]:
                parsed(benchmarks, arguments)
            case ["make", target, *_]:
                assert target in targets()
        for word in words:
            if re.match(r"(deploy|tests|docs|benchmarks|examples|release)/", word) or word == "gateway.example.toml":
                assert (ROOT / word).exists(), word


def parsed(group: click.Group, arguments: list[str]) -> None:
    """Find the command and let it take its options; none is run."""
    context = click.Context(group)
    command: click.Command = group
    while isinstance(command, click.Group) and arguments:
        name = arguments.pop(0)
        found = command.get_command(context, name)
        assert found is not None, name
        command = found
    command.make_context("", arguments, parent=context)


# -- the ones that are run --------------------------------------------------------------------


@dataclass(frozen=True)
class Place:
    folder: Path
    edits: Mapping[str, str]
    environment: Mapping[str, str]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("commands")
    binaries = Path(sys.executable).parent
    (folder / ".venv").symlink_to(binaries.parent)
    internal = free_port()  # `top` finds the listener in the configuration
    with SimulatorProcess() as simulator:
        models = [model(name, "openai") for name in ("gpt-6-sol", "gpt-6.1-terra")]
        more = {"internal": {"port": internal}}
        with GatewayProcess(folder, {"openai": provider("openai", simulator.url)}, models, more) as gateway:
            token = gateway.session("developer", 1_000)["access_token"]
            path = f"{binaries}{os.pathsep}{os.environ['PATH']}"
            yield Place(
                folder,
                {"http://127.0.0.1:8080": gateway.url, "http://127.0.0.1:9090": gateway.internal},
                {**os.environ, "PATH": path, "CODEGREX_TOKEN": token},
            )


RUN = {command: one for command in COMMANDS if isinstance(one := decision(command), Run)}


@pytest.mark.parametrize("command", RUN)
def test_it_runs(place: Place, command: str) -> None:
    if command.startswith("curl "):
        tools.need("curl")
    wanted = RUN[command]
    for shown, real in {**place.edits, **wanted.edits}.items():
        command = command.replace(shown, real.format(folder=place.folder))
    process = processes.start(
        ["sh", "-c", f"exec {command}" if wanted.until_stopped else command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=place.folder,
        env=dict(place.environment),
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),  # a run in the background ignores it
    )
    assert process.stdout is not None
    out, running = "", wanted.until_stopped
    try:
        for line in process.stdout:
            out += line
            if running and wanted.said in line:
                running = False
                process.send_signal(signal.SIGINT)
        assert process.wait(timeout=90) == 0, out
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
    assert wanted.said in out
