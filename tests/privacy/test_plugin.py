"""The report belongs to a run of every test: it is said once, last but for pytest's own line, and decides the exit."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import untested
from tests.privacy import __main__ as privacy
from tests.privacy.guarantees import GUARANTEES, Guarantee

ROOT = Path(__file__).parents[2]
TITLE = "What was promised, and what was found"
REPORTS = ("privacy-report.html", "privacy-report.json")
# The plugin as conftest.py has it, with one guarantee that rests on the test of a project of its own.
PROGRAM = """
import sys
import pytest
from tests.privacy import plugin, report
from tests.privacy.guarantees import Guarantee

report.GUARANTEES = (Guarantee("Kept", ("checks/test_kept.py",), ("a sink",), "a leak", ("test_control",)),)
plugins = [plugin.Reporting(strict=True)] if sys.argv[1] == "strict" else [plugin]
sys.exit(pytest.main(sys.argv[2:], plugins=plugins))
"""
TESTS = """
import pytest

def test_kept(record_property):
    record_property("paths", ["one path"])

def test_control(record_property):
    {skip}
    record_property("controls", [{{"leak": "one", "sink": "a sink", "caught": {caught}}}])
"""
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    def run(
        *arguments: str, caught: bool = True, skip: str = "", how: str = "usual"
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "checks").mkdir()
        (tmp_path / "pytest.ini").write_text("[pytest]\ntestpaths = checks\naddopts = --import-mode=importlib\n")
        (tmp_path / "checks/test_kept.py").write_text(textwrap.dedent(TESTS).format(caught=caught, skip=skip))
        (tmp_path / "checks/test_other.py").write_text("def test_other(): pass\n")
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
        command = [sys.executable, "-c", PROGRAM, how, *arguments]
        env = {**kept, "PYTHONPATH": str(ROOT)}
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return run


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_whole_run_reports_once_before_the_closing_line(run: Run, tmp_path: Path, workers: str) -> None:
    done = run("-n", workers)
    assert done.returncode == 0, done.stdout
    assert done.stdout.count(TITLE) == 1
    assert re.search(r"Kept +1 +1 +0 +yes +held", done.stdout)
    assert re.search(r"3 passed in .*", done.stdout.splitlines()[-1])
    found = json.loads((tmp_path / REPORTS[1]).read_text())
    assert (found["good"], found["rows"][0]["tried"]) == (True, ["one path"])
    assert "one path" in (tmp_path / REPORTS[0]).read_text()


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_guarantee_that_does_not_hold_fails_a_run_whose_tests_passed(run: Run, tmp_path: Path, workers: str) -> None:
    done = run("-n", workers, caught=False)
    assert "3 passed" in done.stdout.splitlines()[-1]
    assert "NOT PROVEN" in done.stdout
    assert done.returncode == 1
    assert json.loads((tmp_path / REPORTS[1]).read_text())["good"] is False


@pytest.mark.parametrize(
    "selection", [["checks"], ["checks/test_kept.py"], ["-k", "kept"], ["--deselect", "checks/test_other.py"]], ids=str
)
def test_a_selection_says_nothing(run: Run, tmp_path: Path, selection: list[str]) -> None:
    done = run(*selection)
    assert done.returncode == 0
    assert " passed" in done.stdout
    assert TITLE not in done.stdout
    assert not any((tmp_path / name).exists() for name in REPORTS)


def test_the_command_accepts_no_skip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(untested.VARIABLE, "0")  # and it is put back after the test
    found: list[str | None] = []
    monkeypatch.setattr(pytest, "main", lambda *_args, **_options: found.append(os.environ.get(untested.VARIABLE)) or 0)
    assert privacy.main([]) == 0
    assert found == ["1"]


@pytest.mark.parametrize(("how", "code"), [("usual", 0), ("strict", 1)])
def test_what_this_machine_cannot_try_fails_the_report_alone(run: Run, how: str, code: int) -> None:
    done = run(skip='pytest.skip("no strace here")', how=how)
    assert done.returncode == code
    assert "NOT PROVEN" in done.stdout
    assert "a part did not run: " in done.stdout


@pytest.fixture(scope="module")
def files() -> dict[str, str]:
    """The text of each file of tests, by its path."""
    return {str(path.relative_to(ROOT)): path.read_text() for path in (ROOT / "tests").rglob("test_*.py")}


@pytest.mark.parametrize("guarantee", GUARANTEES, ids=lambda one: one.name)
def test_what_a_row_names_is_there(guarantee: Guarantee, files: dict[str, str]) -> None:
    # Otherwise a renamed test leaves its row without a control, and only a run of every test would show it.
    for named in (*guarantee.tests, *guarantee.controls):
        file, _, test = named.rpartition("::") if "::" in named else ("", "", named)
        if named in files or any(path.startswith(named) for path in files):
            continue  # a file or a folder
        function = re.compile(rf"def {re.escape(test.split('[')[0])}\w*\(")
        assert any(function.search(text) for path, text in files.items() if file in path), named
