"""What shares a fixture shares a worker, and what takes long begins first."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests import scheduling

ROOT = Path(__file__).parents[1]
MODULE = """
import os, pathlib, pytest
@pytest.mark.parametrize("number", range(4))
def test_it(number):
    with pathlib.Path({seen!r}).open("a") as seen:
        seen.write(f"{{pathlib.Path(__file__).stem}} {{number}} {{os.environ['PYTEST_XDIST_WORKER']}}\\n")
"""


def test_a_file_runs_in_one_worker_and_in_order(tmp_path):
    seen = tmp_path / "seen"
    for number in range(4):
        (tmp_path / f"test_{number}.py").write_text(MODULE.format(seen=str(seen)))
    command = [sys.executable, "-m", "pytest", "-q", "-n", "2", "-p", "tests.scheduling", "-p", "no:cacheprovider"]
    done = subprocess.run([*command, "."], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=False)
    assert done.returncode == 0
    ran = [line.split() for line in seen.read_text().splitlines()]
    assert len(ran) == 16
    for number in range(4):
        own = [(place, worker) for name, place, worker in ran if name == f"test_{number}"]
        assert [place for place, _ in own] == ["0", "1", "2", "3"]
        assert len({worker for _, worker in own}) == 1
    assert len({worker for *_, worker in ran}) == 2


def test_every_entry_of_its_tables_names_tests():
    files = {str(path.relative_to(ROOT)) for path in (ROOT / "tests").rglob("test_*.py")}
    for start in (*scheduling.FIRST, *scheduling.TOGETHER):
        assert any(name.startswith(start) for name in files), start


def test_nobody_marks_a_group_of_xdist():
    marked = [path for path in (ROOT / "tests").rglob("*.py") if "mark.xdist_" + "group" in path.read_text()]
    assert marked == [], "it has no effect: tests.scheduling.TOGETHER"


def test_what_shares_a_session_is_together_and_what_takes_long_is_first():
    assert scheduling.group("tests/integration/test_sdk_openai.py::test_a[x]") == "tests/integration/test_sdk_"
    assert scheduling.group("tests/integration/test_metering.py::test_a[a::b]") == "tests/integration/test_metering.py"
    assert scheduling.rank("tests/privacy/test_hunt.py::test_a") < scheduling.rank(
        "tests/privacy/test_plugin.py::test_a"
    )
    assert scheduling.rank("tests/providers/test_paths.py::test_a") == len(scheduling.FIRST)
