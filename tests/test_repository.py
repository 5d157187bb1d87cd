"""What the repository says about itself is true: commands, tables, locks, sizes and the mirror of tests."""

from __future__ import annotations

import re
import shutil
import subprocess
import tomllib
from pathlib import Path

import click
import pytest

from gateway.cli import COMMANDS, cli
from gateway.errors import GatewayError
from metering.usage import UsageRecord

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "providers", "metering")
LONGEST = 300

# Files over the limit: how long they may be, and why they are one file.
LONG_FILES = {
    "gateway/app.py": (320, "the one place that builds and wires a worker"),
    "gateway/upstream/connection.py": (480, "one socket's states: writing, parsing and closing share them all"),
    "metering/ledger.lua": (500, "one function library: the store loads it whole, under one version"),
    "metering/pricing.py": (320, "rates, their fall-backs and what they come to: one table, read in one place"),
    "metering/spool.py": (310, "one process's files, from the intent to the last acknowledgement"),
    "providers/json_projection.py": (330, "one scanner's states, cut anywhere"),
    "providers/server_tools.py": (330, "one table of every server-side tool"),
}

# Modules without a test file of their own: the file that tests them, and why it is there.
TESTED_ELSEWHERE = {
    "gateway/__main__.py": ("tests/gateway/test_cli.py", "runs every command with python -m gateway"),
    "gateway/app.py": ("tests/integration/test_bad_input.py", "it only builds and wires what a real process then does"),
    "gateway/cli_accounts.py": ("tests/gateway/test_cli.py", "a command is tested as a process"),
    "gateway/cli_check.py": ("tests/gateway/test_cli.py", "a command is tested as a process"),
    "gateway/cli_live.py": ("tests/gateway/test_cli.py", "a part of check"),
    "gateway/cli_options.py": ("tests/gateway/test_cli.py", "options and tables are seen through the commands"),
    "gateway/cli_export.py": ("tests/metering/test_stripe_export.py", "the exporter, run as a process"),
    "gateway/cli_rights.py": ("tests/gateway/test_cli_accounts.py", "a command is tested as a process"),
    "gateway/cli_serve.py": ("tests/gateway/test_cli.py", "a command is tested as a process"),
    "gateway/cli_local.py": ("tests/integration/test_local_broker.py", "a command is tested as a process"),
    "gateway/cli_sessions.py": ("tests/gateway/test_cli.py", "a command is tested as a process"),
    "gateway/cli_store.py": ("tests/gateway/test_cli.py", "opens the store for the commands"),
    "gateway/billing_settings.py": ("tests/gateway/test_config_billing.py", "types that the loader alone makes"),
    "gateway/closed.py": ("tests/gateway/test_log.py", "types, which the type checker tests"),
    "gateway/config_load.py": ("tests/gateway/test_config.py", "a Config is made by load alone"),
    "gateway/config_models.py": ("tests/gateway/test_config.py", "a part of load"),
    "gateway/config_oauth.py": ("tests/gateway/test_config.py", "a part of load"),
    "gateway/config_providers.py": ("tests/gateway/test_config.py", "a part of load"),
    "gateway/config_reader.py": ("tests/gateway/test_config.py", "a part of load"),
    "gateway/dev.py": ("tests/test_readme.py", "what make run starts answers the README's requests"),
    "gateway/dispatch.py": ("tests/integration/test_bad_input.py", "every refusal is seen on a real socket"),
    "gateway/exchange.py": ("tests/integration/test_disconnect.py", "its order is a promise about a real process"),
    "gateway/forwarding.py": ("tests/integration/test_failover.py", "a way to a provider has a provider at its end"),
    "gateway/request_log.py": ("tests/integration/test_metering.py", "a line tells what a real request did"),
    "gateway/meter.py": ("tests/integration/test_metering.py", "what a request owes is seen on a real process"),
    "gateway/inbound.py": ("tests/integration/test_bad_input.py", "broken bodies come from a real socket"),
    "gateway/local/broker.py": ("tests/integration/test_local_broker.py", "the broker is a process"),
    "gateway/local/exchange.py": ("tests/integration/test_local_broker.py", "what goes in and out of a real process"),
    "gateway/local/faults.py": ("tests/gateway/local/test_engine_http.py", "each fault is provoked on a real socket"),
    "gateway/local/isolation.py": ("tests/integration/test_local_isolation.py", "a namespace is a process's"),
    "gateway/local/model_lists.py": ("tests/integration/test_local_broker.py", "each form of list is asked for"),
    "gateway/config_portal.py": ("tests/gateway/test_config.py", "a part of load"),
    "gateway/loopback.py": ("tests/gateway/test_config.py", "a rule of load"),
    "gateway/portal/account_page.py": ("tests/integration/test_portal.py", "a page is seen in a browser"),
    "gateway/portal/device_page.py": ("tests/integration/test_portal.py", "a page is seen in a browser"),
    "gateway/portal/tokens.py": ("tests/integration/test_portal.py", "a page is seen in a browser"),
    "gateway/portal/paths.py": ("tests/integration/test_portal.py", "which requests are pages is seen on a socket"),
    "gateway/routes/portal_account.py": ("tests/integration/test_portal.py", "what a page does is seen in a browser"),
    "gateway/routes/portal_device.py": ("tests/integration/test_portal.py", "what a page does is seen in a browser"),
    "gateway/routes/portal_sign_in.py": (
        "tests/integration/test_portal_sign_in.py",
        "a browser is sent and comes back",
    ),
    "gateway/routes/portal.py": ("tests/integration/test_portal.py", "its refusals are seen on a socket"),
    "gateway/upstream/faults.py": ("tests/gateway/test_failover.py", "a closed list: each of them has its error there"),
    "gateway/published.py": ("tests/gateway/test_catalog.py", "the catalog's source of prices"),
    "gateway/published_compile.py": ("tests/gateway/test_catalog.py", "the catalog's source of prices"),
    "gateway/internal_listener.py": ("tests/integration/test_service_api.py", "it is there when a gateway serves"),
    "gateway/routes/billing.py": ("tests/gateway/routes/test_service.py", "operations are seen through the API"),
    "gateway/routes/billing_shapes.py": ("tests/gateway/routes/test_service.py", "what goes over the API"),
    "gateway/routes/openapi.py": ("tests/gateway/routes/test_service.py", "each answer is held against it"),
    "gateway/auth/entitlements.py": ("tests/gateway/test_administration.py", "seen through what a service states"),
    "gateway/upkeep.py": ("tests/integration/test_service_api.py", "its events come from a gateway that serves"),
    "metering/stripe_customers.py": ("tests/gateway/test_administration.py", "an erasure decides when it goes"),
    "gateway/services.py": ("tests/integration/test_bad_input.py", "a list of what a worker has; no behaviour"),
    "gateway/worker.py": ("tests/integration/test_workers.py", "a worker is a process"),
    "metering/audit.py": ("tests/metering/test_rights.py", "what is done to an account is seen in the audit stream"),
    "metering/calls.py": ("tests/contracts/test_ledger_contract.py", "one contract on every kind of store"),
    "metering/topology.py": ("tests/contracts/test_ledger_contract.py", "one contract on every kind of store"),
    "metering/ledger.py": ("tests/contracts/test_ledger_contract.py", "one contract on every kind of store"),
    "metering/reservation.py": ("tests/contracts/test_ledger_contract.py", "the ledger's arguments and answers"),
    "providers/conversation.py": (
        "tests/providers/test_translator.py",
        "what every reader gives and every writer takes",
    ),
    "providers/stream_texts.py": ("tests/providers/test_restoring.py", "where texts are shows in what is restored"),
    "providers/dialect.py": ("tests/providers/test_wires.py", "protocols and types that every wire keeps to"),
    "gateway/oauth_settings.py": ("tests/gateway/test_config.py", "types that the loader alone makes"),
}

# What tells programs where to fetch packages, images or modules from.
REGISTRIES = re.compile(
    r"pypi\.(org|python)|pythonhosted\.org|(extra-)?index-url|find-links\s*=|npmjs\.|docker\.io|ghcr\.io|quay\.io"
    r"|gcr\.io|mcr\.microsoft|proxy\.golang|crates\.io|rubygems|artifactory|nexus"
)


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        pytest.skip("not a git clone: what is tracked is not known")
    done = subprocess.run([git, "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def sources() -> dict[str, Path]:
    """The packages' source files by their path in the repository."""
    found = [path for package in PACKAGES for kind in ("*.py", "*.lua") for path in (ROOT / package).rglob(kind)]
    return {path.relative_to(ROOT).as_posix(): path for path in found}


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def documents() -> list[Path]:
    return [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]


def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_every_make_command_in_the_documents_is_a_target() -> None:
    named = {
        name
        for path in documents()
        for name in re.findall(r"(?:^|`)make ([a-z][a-z0-9-]*)", path.read_text(), re.MULTILINE)
    }
    assert named >= {"run", "test"}
    assert named <= targets()


def test_continuous_integration_runs_the_readme_s_test_command() -> None:
    script = ROOT / ".ci/run"
    assert script.stat().st_mode & 0o111
    command = re.search(r"^(make test)\b.*#", readme(), re.MULTILINE)
    assert command is not None
    assert script.read_text().splitlines()[-1] == command[1]


def test_every_codegrex_command_in_the_documents_exists() -> None:
    for path in documents():
        for name, rest in re.findall(r"codegrex-gateway ([a-z]+)((?: [a-z]+)?)", path.read_text()):
            command = cli.get_command(click.Context(cli), name)
            assert command is not None, (path, name)
            if isinstance(command, click.Group):
                assert rest.strip() in command.commands, (path, name, rest)


def test_the_readme_lists_every_command() -> None:
    for name in COMMANDS:
        command = cli.get_command(click.Context(cli), name)
        for part in command.commands if isinstance(command, click.Group) else ("",):
            assert f"`codegrex-gateway {name} {part}".rstrip() in readme()


def test_the_readme_s_error_table_is_the_error_tree() -> None:
    def tree(error: type[GatewayError]) -> set[tuple[int, str]]:
        found = {(error.status, error.code)}
        return found.union(*(tree(branch) for branch in error.__subclasses__()))

    # Groups such as Unauthorized have a status and keep the root's code.
    codes = {(status, code) for status, code in tree(GatewayError) if code != "internal_error" or status == 500}
    table = re.findall(r"^\| (\d{3}) \| `([a-z_]+)` \|", readme(), re.MULTILINE)
    assert len(table) == len(set(table))
    assert {(int(status), code) for status, code in table} == codes


def test_the_readme_s_record_is_the_usage_record() -> None:
    section = readme().split("## What is recorded")[1].split("\n## ")[0]
    cells = re.findall(r"^\| (`[^|]+`) \|", section, re.MULTILINE)
    assert [name for cell in cells for name in re.findall(r"`([a-z_0-9]+)`", cell)] == list(
        UsageRecord.__struct_fields__
    )


def test_links_between_documents_lead_somewhere() -> None:
    for path in documents():
        for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", path.read_text()):
            if "://" not in link:
                assert (path.parent / link).exists(), (path, link)


def test_decisions_are_numbered_without_a_gap_and_have_three_parts() -> None:
    decisions = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [int(path.name[:3]) for path in decisions] == list(range(1, len(decisions) + 1))
    for path in decisions:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:3]}: ")
        assert all(f"**{part}.**" in text for part in ("Context", "Decision", "Consequence"))
        assert lines(path) <= 60


def test_every_key_of_the_example_is_in_the_list_of_keys() -> None:
    example = (ROOT / "gateway.example.toml").read_text()
    keys = set(re.findall(r"^(?:# )?([a-z][a-z_0-9]*) = ", example, re.MULTILINE)) - {
        "flex",
        "priority",
    }  # variants' names
    listed = set(re.findall(r"`([a-z_0-9]+)`", (ROOT / "docs/configuration.md").read_text()))
    assert len(keys) > 40
    assert keys <= listed


def test_no_tracked_file_names_a_registry() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue  # the list of what to look for
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in REGISTRIES.finditer(text)]
    assert found == []


def test_files_are_short_or_say_why_not() -> None:
    long = {name: count for name, path in sources().items() if (count := lines(path)) > LONGEST}
    assert {name: count for name, count in long.items() if count > LONG_FILES.get(name, (0, ""))[0]} == {}


def test_every_module_has_its_own_tests() -> None:
    missing = []
    for name in sources():
        module = Path(name)
        if module.suffix != ".py" or not lines(ROOT / name):
            continue
        mirror = Path("tests") / module.with_name(f"test_{module.name}")
        if (ROOT / mirror).exists():
            continue
        if name not in TESTED_ELSEWHERE:
            missing.append(name)
    assert missing == []


@pytest.mark.parametrize("listed", [LONG_FILES, TESTED_ELSEWHERE], ids=["long files", "tested elsewhere"])
def test_exceptions_name_files_that_exist(listed: dict[str, tuple[object, str]]) -> None:
    for name, (value, reason) in listed.items():
        assert (ROOT / name).exists(), name
        assert reason
        if isinstance(value, str):
            assert (ROOT / value).exists(), value


def canonical(requirement: str) -> str:
    """A distribution's name as the lock writes it (PEP 503)."""
    name = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert name is not None
    return re.sub(r"[-_.]+", "-", name[0]).lower()


def test_the_runtime_lock_s_top_level_is_the_project_s_dependencies() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lock = (ROOT / "requirements/runtime.txt").read_text()
    entries = re.findall(r"^([a-z0-9][a-z0-9.-]*)==((?:.*\n)(?:[ ].*\n?)*)", lock, re.MULTILINE)
    assert len(entries) > 20
    top = {name for name, rest in entries if f"{project['name']} (pyproject.toml)" in rest}
    assert top == {canonical(dependency) for dependency in project["dependencies"]}


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt", "build.txt", "local-e2e.txt"])
def test_every_locked_requirement_has_its_hashes(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    entries = re.findall(r"^[a-z0-9][a-z0-9.-]*==.*\n(?:[ ].*\n?)*", text, re.MULTILINE)
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    others = [line for line in text.splitlines() if line and not re.match(r"[a-z0-9][a-z0-9.-]*==| |#", line)]
    assert others == []
