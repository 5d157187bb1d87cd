"""What the make targets install, and that none undoes another."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PINNED = re.compile(r"^([a-z0-9][a-z0-9.-]*)==([^\s;]+)", re.MULTILINE)


def commands(folder: Path, *arguments: str) -> str:
    return subprocess.run(
        ["make", "--dry-run", *arguments], cwd=folder, check=True, capture_output=True, text=True
    ).stdout


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """As much of a fresh clone as make looks at."""
    if shutil.which("make") is None:
        pytest.skip("make is not installed")
    shutil.copy(ROOT / "Makefile", tmp_path)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    shutil.copytree(ROOT / "requirements", tmp_path / "requirements")
    return tmp_path


def test_the_first_run_installs_what_serving_needs_with_its_hashes_and_nothing_else(clone: Path) -> None:
    installs = [line for line in commands(clone, "run", "PORT=8181").splitlines() if " pip install " in line]
    assert [re.findall(r"-r requirements/(\S+)", line) for line in installs] == [["runtime.txt", "build.txt"], []]
    assert "--require-hashes" in installs[0]
    assert "--no-deps" in installs[1]
    assert "--no-build-isolation" in installs[1]
    assert "dev --port 8181" in commands(clone, "run", "PORT=8181")


def test_the_site_needs_what_serving_needs_and_its_generator(clone: Path) -> None:
    installs = [line for line in commands(clone, "docs").splitlines() if " pip install " in line]
    parts = [["runtime.txt", "build.txt"], [], ["docs.txt"]]
    assert [re.findall(r"-r requirements/(\S+)", line) for line in installs] == parts
    assert "--require-hashes" in installs[2]


def test_the_tests_install_everything_and_neither_target_undoes_the_other(clone: Path) -> None:
    assert "-r requirements/dev.txt" in commands(clone, "test")
    (clone / ".venv/bin").mkdir(parents=True)
    for stamp in (".venv/bin/python", ".venv/.serving", ".venv/.installed"):
        (clone / stamp).touch()
    assert "pip install" not in commands(clone, "run")
    assert "pip install" not in commands(clone, "test")
    everything = dict(PINNED.findall((ROOT / "requirements/dev.txt").read_text()))
    for part in ("runtime.txt", "build.txt", "docs.txt"):
        pinned = dict(PINNED.findall((ROOT / "requirements" / part).read_text()))
        assert pinned
        assert pinned == {name: everything.get(name) for name in pinned}, part
