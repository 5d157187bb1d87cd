"""``make tools`` installs what is missing and nothing else, if this user may; otherwise it says what would."""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests import tools

ROOT = Path(__file__).parent.parent
# A package manager that writes down what it was asked for, and puts a program there for each package that it has.
APT_GET = """#!/bin/sh
echo "$@" >>"{folder}/asked"
cat <&0 >>"{folder}/typed"
[ "$1" = install ] || exit {update}
[ -e "{policy}" ] && echo "$DEBIAN_FRONTEND" >"{folder}/held"
shift
for word in "$@"; do case $word in {unknown}) exit 100;; esac; done
for word in "$@"; do case $word in -*|*=*) ;; *) ln -sf /bin/true "{bin}/$word";; esac; done
"""
SUDO = """#!/bin/sh
echo "$1 $2" >>"{folder}/sudo"
[ "$1" != -n ] || shift
{allowed} || exit 1
exec "$@"
"""


class System:
    """A folder of programs instead of this machine's, and this user or another."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.bin, self.policy = folder, folder / "bin", folder / "policy-rc.d"
        self.bin.mkdir()
        for name in ("sh", "cat", "ln", "chmod", "rm", "true"):
            (self.bin / name).symlink_to(shutil.which(name) or f"/bin/{name}")
        monkeypatch.setenv("PATH", str(self.bin))
        monkeypatch.delenv("CHROMIUM", raising=False)
        monkeypatch.setattr(tools, "FOLDERS", ())
        monkeypatch.setattr(tools, "POLICY", self.policy)

    def program(self, name: str, text: str = "#!/bin/sh\n", **values: object) -> None:
        path = self.bin / name
        path.write_text(text.format(folder=self.folder, bin=self.bin, policy=self.policy, **values) if values else text)
        path.chmod(0o755)

    def apt_get(self, *, update: int = 0, unknown: str = "nothing") -> None:
        self.program("apt-get", APT_GET, update=update, unknown=unknown)

    def told(self, name: str) -> list[str]:
        path = self.folder / name
        return path.read_text().splitlines() if path.exists() else []

    def installed(self) -> list[list[str]]:
        """The packages of each call that installs."""
        calls = [line.split() for line in self.told("asked") if line.startswith("install")]
        return [[word for word in call[1:] if word in tools.TOOLS] for call in calls]


@pytest.fixture
def system(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> System:
    return System(tmp_path, monkeypatch)


@pytest.fixture
def root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)


@pytest.fixture
def user(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)


def test_root_gets_what_is_missing_after_an_update_of_the_lists(system: System, root: None) -> None:
    system.apt_get()
    system.program("curl")
    absent = [package for package in tools.TOOLS if package != "curl"]
    assert [tool.package for tool in tools.missing()] == absent
    assert tools.install() == 0
    assert [line.split()[0] for line in system.told("asked")] == ["update", "install"]
    assert system.installed() == [absent]
    assert "-y" in system.told("asked")[1].split()
    assert tools.missing() == []
    assert system.told("typed") == []  # nobody is asked anything


def test_no_service_is_started_by_its_package(system: System, root: None) -> None:
    system.apt_get()
    tools.install()
    assert system.told("held") == ["noninteractive"]
    assert not system.policy.exists()


def test_a_policy_that_is_there_stays(system: System, root: None) -> None:
    system.apt_get()
    system.policy.write_text("theirs")
    tools.install()
    assert system.policy.read_text() == "theirs"


def test_nothing_is_asked_for_if_nothing_is_missing(system: System, user: None) -> None:
    for package in tools.TOOLS:
        system.program(package)
    assert tools.install() == 0
    assert system.told("asked") == []


def test_old_lists_and_an_unknown_package_keep_none_of_the_others_away(
    system: System, root: None, capsys: pytest.CaptureFixture[str]
) -> None:
    system.apt_get(update=100, unknown="chromium")
    assert tools.install() == 1
    assert [tool.package for tool in tools.missing()] == ["chromium"]
    assert capsys.readouterr().err == tools.TOOLS["chromium"].reason + "\n"


def test_a_user_who_may_use_sudo_is_not_asked_without_a_terminal(
    system: System, user: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    system.apt_get()
    system.program("sudo", SUDO, allowed="true")
    monkeypatch.setattr(sys, "stdin", None)
    assert tools.install() == 0
    assert system.told("sudo") == ["-n true", "-n sh"]
    assert system.installed() == [list(tools.TOOLS)]


@pytest.mark.parametrize("sudo", ["none", "refuses"])
def test_a_user_who_may_not_is_told_the_command(
    system: System, user: None, sudo: str, capsys: pytest.CaptureFixture[str]
) -> None:
    system.apt_get()
    if sudo == "refuses":
        system.program("sudo", SUDO, allowed="false")
    assert tools.install() == 1
    assert system.told("asked") == []
    *reasons, command = capsys.readouterr().err.splitlines()
    assert reasons == [tool.reason for tool in tools.TOOLS.values()]
    assert command.endswith("apt-get install " + " ".join(tools.TOOLS))


def test_without_a_package_manager_it_says_what_is_missing(
    system: System, root: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tools.install() == 1
    assert "apt-get install strace" in capsys.readouterr().err


def test_the_browser_may_have_another_name(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    chromium = tools.TOOLS["chromium"]
    assert chromium.path is None
    system.program("google-chrome")
    assert chromium.path == str(system.bin / "google-chrome")
    monkeypatch.setenv("CHROMIUM", "/opt/browser")
    assert chromium.path == "/opt/browser"


def test_it_runs_before_anything_is_installed() -> None:
    """With a bare interpreter, as ``make tools`` does."""
    for node in ast.parse((ROOT / "tests/tools.py").read_text()).body:
        names = (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [str(node.module)]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        assert {name.partition(".")[0] for name in names} <= sys.stdlib_module_names
    done = subprocess.run(
        [sys.executable, "-S", "-E", "tests/tools.py"],
        cwd=ROOT,
        check=False,
        env={"PATH": "", "CHROMIUM": ""},
        capture_output=True,
        text=True,
    )
    assert "Error" not in done.stderr


def test_no_test_looks_for_a_program_of_the_table_by_itself() -> None:
    """Else it would skip, or pass, without being told."""
    names = "|".join(name for tool in tools.TOOLS.values() for name in (tool.programs or (tool.package,)))
    found = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "tests").rglob("*.py"))
        if path != Path(__file__) and re.search(rf"which\([^)]*[\"'](?:{names})[\"']", path.read_text())
    ]
    assert found == []


def test_the_documents_and_the_makefile_name_every_program() -> None:
    for text in ((ROOT / "Makefile").read_text(), (ROOT / "README.md").read_text()):
        for package in tools.TOOLS:
            assert package in text, package


@pytest.mark.parametrize("stdin", ["closed", "empty"])
@pytest.mark.parametrize(("code", "tools_code"), [(0, 0), (0, 1), (1, 0), (1, 1)])
def test_continuous_integration_ends_with_the_closing_line_of_the_tests(
    tmp_path: Path, code: int, tools_code: int, stdin: str
) -> None:
    """Whether they pass or fail, whether the programs could be installed or not, and without a standard input."""
    (tmp_path / ".ci").mkdir()
    shutil.copy(ROOT / ".ci/run", tmp_path / ".ci/run")
    targets = f"tools:\n\t@echo installs; exit {tools_code}\ntest:\n\t@cat; echo required: $$REQUIRE_ALL; echo closing line; exit {code}\n"
    (tmp_path / "Makefile").write_text(targets)
    command = f"exec bash .ci/run {'<&-' if stdin == 'closed' else '</dev/null'}"
    done = subprocess.run(
        ["bash", "-c", command],
        cwd=tmp_path,
        env={**os.environ, "MAKELEVEL": "1", "MAKEFLAGS": "w"},  # below another make, as `make test` is itself
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert bool(done.returncode) is bool(code), done.stdout
    lines = done.stdout.splitlines()
    assert lines[0] == "installs"
    assert lines[-2:] == ["required: 1", "closing line"]
