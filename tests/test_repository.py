"""What the repository says about itself is true: commands, tables, locks and folders."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import tomllib
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import click
import pytest

from gateway.cli import COMMANDS, cli
from gateway.errors import GatewayError
from metering.usage import UsageRecord
from tests import tools, untested

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "providers", "metering")

# What tells programs where to fetch packages, images or modules from.
REGISTRIES = re.compile(
    r"pypi\.(org|python)|pythonhosted\.org|(extra-)?index-url|find-links\s*=|npmjs\.|docker\.io|ghcr\.io|quay\.io"
    r"|gcr\.io|mcr\.microsoft|proxy\.golang|crates\.io|rubygems|artifactory|nexus"
)


UNTRACKED = {
    ".git",
    ".venv",
    ".venv-local",
    "__pycache__",
    ".pytest_cache",
    ".mypy_cache",
    ".ruff_cache",
    ".hypothesis",
    "build",
}


def tracked() -> list[Path]:
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():  # an unpacked archive: every file but what tools leave
        files = (path for path in ROOT.rglob("*") if path.is_file())
        return [path for path in files if not UNTRACKED & set(path.relative_to(ROOT).parts)]
    done = subprocess.run([git, "-c", "safe.directory=*", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True)
    return [path for name in done.stdout.decode().split("\0") if name and (path := ROOT / name).is_file()]


def test_every_folder_says_in_one_sentence_what_it_is_for() -> None:
    folders = [path for package in PACKAGES for path in [ROOT / package, *(ROOT / package).rglob("*")]]
    missing = []
    for folder in folders:
        if folder.is_dir() and any(folder.glob("*.py")):
            text = ast.get_docstring(ast.parse((folder / "__init__.py").read_text()))
            if not text or not text.split("\n\n")[0].endswith("."):
                missing.append(folder.relative_to(ROOT).as_posix())
    assert missing == []


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def targets() -> set[str]:
    return set(re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE))


def documents() -> list[Path]:
    return [*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))]


def readme() -> str:
    return (ROOT / "README.md").read_text()


def test_a_class_has_a_name_that_no_other_module_uses() -> None:
    found: dict[str, list[str]] = {}
    for path in (path for root in ("gateway", "metering", "providers") for path in (ROOT / root).rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(str(path.relative_to(ROOT)))
    assert len(found) > 200
    assert {name: paths for name, paths in found.items() if len(paths) > 1} == {}


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
    text = script.read_text().splitlines()
    assert text[-1] == command[1]
    assert f"export {untested.VARIABLE}=1" in text
    assert any(tools.COMMAND in line for line in text)


def test_every_codegrex_command_in_the_documents_exists() -> None:
    for path in documents():
        for name, rest in re.findall(r"codegrex-gateway ([a-z]+(?:-[a-z]+)*)((?: [a-z]+)?)", path.read_text()):
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


def test_every_document_is_in_the_table_of_contents() -> None:
    page = ROOT / "docs/README.md"
    linked = {(page.parent / link).resolve() for link in re.findall(r"\]\(([^)#]+)", page.read_text())}
    pages = {path for path in (ROOT / "docs").rglob("*.md") if path.parent.name != "decisions"}
    assert pages - {page} - linked == set()


def test_the_license_is_named_and_whole() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert (project["license"], project["license-files"]) == ("Apache-2.0", ["LICENSE"])
    text = (ROOT / "LICENSE").read_text()
    assert "Version 2.0, January 2004" in text
    assert [number for number in range(1, 10) if f"\n   {number}. " not in text] == []
    assert "END OF TERMS AND CONDITIONS" in text


def exists(dotted: str) -> bool:
    """Whether a module, or something in it, has this name."""
    found, *rest = dotted.split(".")
    at = import_module(found)
    for name in rest:
        found = f"{found}.{name}"
        if not hasattr(at, name) and (not hasattr(at, "__path__") or find_spec(found) is None):
            return False
        at = getattr(at, name, None) or import_module(found)
    return True


def test_every_module_and_file_that_a_text_names_exists() -> None:
    named = "|".join((*PACKAGES, "benchmarks"))
    for path in [*documents(), *(path for path in tracked() if path.suffix == ".py")]:
        text = path.read_text()
        for dotted in set(re.findall(rf"`((?:{named})(?:\.\w+)+)`", text)):
            assert dotted.endswith(".toml") or exists(dotted), (path, dotted)
        for file in set(re.findall(rf"\b(?:{named}|tests)/[\w/]+\.py\b", text)):
            assert (ROOT / file).exists(), (path, file)


def test_the_tests_have_the_folders_of_the_packages() -> None:
    folders = {path.parent.relative_to(ROOT / "tests") for path in tracked() if path.is_relative_to(ROOT / "tests")}
    for folder in folders:
        if folder.parts and folder.parts[0] in PACKAGES:
            assert (ROOT / folder / "__init__.py").exists(), folder


def test_decisions_are_numbered_and_have_three_parts() -> None:
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


def test_no_tracked_file_is_what_an_editor_or_a_merge_left() -> None:
    assert not [path for path in tracked() if path.name.endswith((".orig", ".rej", ".bak", "~"))]


def test_no_tracked_file_names_a_registry() -> None:
    found = []
    for path in tracked():
        if path == Path(__file__):
            continue  # the list of what to look for
        text = path.read_bytes().decode("utf-8", "replace")
        found += [f"{path.relative_to(ROOT)}: {match[0]}" for match in REGISTRIES.finditer(text)]
    assert found == []


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


@pytest.mark.parametrize("name", ["runtime.txt", "dev.txt", "build.txt", "docs.txt", "otel.txt", "local-e2e.txt"])
def test_every_locked_requirement_has_its_hashes(name: str) -> None:
    text = (ROOT / "requirements" / name).read_text()
    entries = re.findall(r"^[a-z0-9][a-z0-9.-]*==.*\n(?:[ ].*\n?)*", text, re.MULTILINE)
    assert entries
    assert [entry.splitlines()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    others = [line for line in text.splitlines() if line and not re.match(r"[a-z0-9][a-z0-9.-]*==| |#", line)]
    assert others == []


# Phrases that can be read as "is sent" and as "is removed".
AMBIGUOUS = re.compile(
    r"\b(?:go|goes|going|went) (?:out|nowhere)\b|\bfalls? away\b|\b(?:take|takes|taken|taking) (?:out|away|off)\b"
    r"|\bheaders? (?:stop|stops)\b"
)


def test_no_text_can_be_read_as_sent_where_it_means_removed() -> None:
    """Write "is removed" or "is sent"."""
    sources = [path for package in PACKAGES for kind in ("*.py", "*.lua") for path in (ROOT / package).rglob(kind)]
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in [*documents(), ROOT / "gateway.example.toml", *sources]
        for match in AMBIGUOUS.finditer(path.read_text())
    ]
    assert found == []


def test_no_child_process_of_a_test_or_benchmark_outlives_it() -> None:
    """Each is started by `benchmarks.processes`, or ends when its standard input does."""
    for path in tracked():
        if path.suffix != ".py" or path.relative_to(ROOT).parts[0] not in ("tests", "benchmarks"):
            continue
        if path == ROOT / "benchmarks/processes.py":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func) in ("subprocess.Popen", "Popen"):
                ends = any(word.arg == "stdin" and ast.unparse(word.value).endswith("PIPE") for word in node.keywords)
                assert ends, f"{path}:{node.lineno}: use benchmarks.processes.start"


def test_numbers_and_fields_that_others_wrote_are_read_in_one_place() -> None:
    """Elsewhere they raised: digits that ``int`` refuses, 5,000 of them, one field too many."""
    readers = {"isdigit": ["metering/numbers.py"], "isdecimal": [], "isnumeric": []}
    readers["parse_qsl"] = ["gateway/http/fields.py", "metering/store/address.py"]  # the second reads the configuration
    readers["parse_qs"] = []
    found: dict[str, list[str]] = {name: [] for name in readers}
    for path in sorted(path for root in ("gateway", "metering", "providers") for path in (ROOT / root).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            name = ast.unparse(node.func).rpartition(".")[2] if isinstance(node, ast.Call) else ""
            if name in found:
                found[name].append(str(path.relative_to(ROOT)))
    assert found == readers
