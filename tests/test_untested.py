"""A run ends with what it did not test; with REQUIRE_ALL=1 a skip fails it, whoever runs the tests."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from tests import tools
from tests.untested import TITLE

ROOT = Path(__file__).parent.parent
CONFTEST = "from tests.untested import pytest_configure\n"
SETTINGS = """
[pytest]
testpaths = checks
addopts = -ra --strict-markers --import-mode=importlib
asyncio_default_fixture_loop_scope = function
markers = local_e2e: engine
"""
PASSES = "def test_passes(): pass"
# How a test is skipped, and the reason that must be told.
SKIPS = {
    "inside": ("def test(): pytest.skip('inside')", "inside"),
    "mark": ("@pytest.mark.skip(reason='mark')\ndef test(): pass", "mark"),
    "condition": ("@pytest.mark.skipif(True, reason='condition')\ndef test(): pass", "condition"),
    "fixture": ("@pytest.fixture\ndef swan(): pytest.skip('fixture')\ndef test(swan): pass", "fixture"),
    "module": ("pytest.skip('module', allow_module_level=True)", "module"),
    "import": ("pytest.importorskip('swans')", "could not import 'swans': No module named 'swans'"),
    "unittest": (
        "import unittest\nclass T(unittest.TestCase):\n  @unittest.skip('unittest')\n  def test(self): pass",
        "unittest",
    ),
    "no_case": (
        "@pytest.mark.parametrize('swan', [])\ndef test(swan): pass",
        "got empty parameter set for (swan)",
    ),
}
# What is reported, and is no test that is missing.
OTHERS = {
    "engine": "@pytest.mark.local_e2e\ndef test(): pytest.skip('no engine')",
    "engine_mark": "@pytest.mark.local_e2e\n@pytest.mark.skip(reason='no engine')\ndef test(): pass",
    "expected": "@pytest.mark.xfail(strict=True)\ndef test(): assert False",
    "lacking": "def test(record_property): record_property('lacks', 'the kernel has no swans')",
}
Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run pytest on a project of one test that passes and others; ``path`` is where programs are looked for."""

    def run(
        tests: dict[str, str], *arguments: str, required: bool, path: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        (tmp_path / "checks").mkdir()
        (tmp_path / "pytest.ini").write_text(SETTINGS)
        (tmp_path / "checks/conftest.py").write_text(CONFTEST)
        for name, text in {"passes": PASSES, **tests}.items():
            (tmp_path / f"checks/test_{name}.py").write_text("import pytest\n" + textwrap.dedent(text) + "\n")
        dropped = ("PYTEST_", "REQUIRE_ALL", "CHROMIUM")
        kept = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        env = {**kept, "PYTHONPATH": str(ROOT), **({"REQUIRE_ALL": "1"} if required else {})}
        env |= {"PATH": path} if path is not None else {}
        command = [sys.executable, "-m", "pytest", *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, check=False)

    return run


def block(done: subprocess.CompletedProcess[str]) -> list[str]:
    """The lines after the one title, pytest's closing line among them."""
    before, after = done.stdout.split(TITLE)
    assert "short test summary info" in before
    return after.splitlines()[1:]


@pytest.mark.parametrize("workers", ["0", "2"])
def test_a_skip_of_any_kind_is_told_and_fails_a_run_that_requires_all(run: Run, workers: str) -> None:
    done = run({name: test for name, (test, _) in SKIPS.items()}, "-n", workers, required=True)
    assert done.returncode == 1, done.stdout
    *told, required, closing = block(done)
    assert told == sorted(f"{reason} (1 test)" for _, reason in SKIPS.values())
    assert required == "REQUIRE_ALL=1: a run that skips a test fails."
    assert f"1 passed, {len(SKIPS)} skipped in" in closing  # pytest's own line is the last


@pytest.mark.parametrize("workers", ["0", "2"])
def test_one_skip_is_enough(run: Run, workers: str) -> None:
    done = run({"inside": SKIPS["inside"][0], **OTHERS}, "-n", workers, required=True)
    assert done.returncode == 1, done.stdout
    assert "inside (1 test)" in block(done)


@pytest.mark.parametrize("workers", ["0", "2"])
def test_what_is_no_missing_test_does_not_fail(run: Run, workers: str) -> None:
    done = run(OTHERS, "-n", workers, required=True)
    assert done.returncode == 0, done.stdout
    told, closing = block(done)
    assert told == "the kernel has no swans (1 test)"
    assert "2 passed, 2 skipped, 1 xfailed in" in closing


def test_otherwise_a_skip_is_told_and_the_run_passes(run: Run) -> None:
    test = """
    @pytest.mark.parametrize("number", range(7))
    def test(number):
        pytest.skip("no swans here" if number else "no geese here")
    """
    done = run({"birds": test}, required=False)
    assert done.returncode == 0
    geese, swans, closing = block(done)
    assert (geese, swans) == ("no geese here (1 test)", "no swans here (6 tests)")
    assert "1 passed, 7 skipped in" in closing


@pytest.mark.parametrize(("test", "code"), [("pass", 0), ("assert False", 1)])
def test_a_run_that_skips_nothing_says_nothing(run: Run, test: str, code: int) -> None:
    done = run({"other": f"def test(): {test}"}, required=True)
    assert done.returncode == code
    assert TITLE not in done.stdout


def test_programs_that_are_missing_are_told_with_the_command_that_installs_them(run: Run, tmp_path: Path) -> None:
    nothing = tmp_path / "nothing"
    nothing.mkdir()
    test = """
    from tests import tools
    tools.FOLDERS = ()
    @tools.needs({package!r})
    def test(): pass
    @tools.needs({package!r})
    def test_too(): pass
    def test_inside(): tools.need({package!r})
    """
    tests = {str(number): test.format(package=package) for number, package in enumerate(tools.TOOLS)}
    done = run(tests, required=False, path=str(nothing))
    assert done.returncode == 0, done.stdout
    *told, install, _ = block(done)
    assert told == sorted(f"{tool.reason} (3 tests)" for tool in tools.TOOLS.values())
    assert install == f"Install these programs with: {tools.COMMAND}"
