"""Shares of a processor: what the kernel is told, and that nothing of it stays.

A machine without them is one that the comparison runs on as well: there the tests are that it says so.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.compare.share import NoShares, controller, shares
from tests.untested import LACKS

WAITING = [sys.executable, "-c", "input()"]


@pytest.fixture
def process():
    with subprocess.Popen(WAITING, stdin=subprocess.PIPE) as process:
        yield process
        process.kill()


def group_of(pid):
    lines = Path(f"/proc/{pid}/cgroup").read_text().splitlines()
    return [line for line in lines if "bench-" in line]


@pytest.fixture
def without(record_property):
    """Hear why there are none: it must be a reason that the comparison prints."""

    def said(error):
        assert str(error).startswith(("no control group of the kernel", "control groups can't be used here: "))
        record_property(LACKS, f"{error}: shares of processors are tested only as far as this")

    return said


def test_a_process_is_held_to_its_share_and_let_go(process, without):
    try:
        root = controller()
        with shares([process.pid], 0.25):
            assert len(group_of(process.pid)) == 1
            group = root / f"bench-{process.pid}"
            if (group / "cpu.max").exists():
                quota, period = map(int, (group / "cpu.max").read_text().split())
            else:
                quota, period = (int((group / f"cpu.cfs_{name}_us").read_text()) for name in ("quota", "period"))
            assert quota / period == 0.25
    except NoShares as error:
        without(error)
    else:
        assert not group.exists()
    assert group_of(process.pid) == []


def test_a_process_that_ended_leaves_no_group(process, without):
    try:
        root = controller()
        with shares([process.pid], 0.25):
            process.kill()
            process.wait()
    except NoShares as error:
        without(error)
    else:
        assert not (root / f"bench-{process.pid}").exists()


def test_version_two_is_told_in_its_own_words(tmp_path):
    (tmp_path / "cgroup.controllers").write_text("cpu memory\n")
    with shares([os.getpid()], 0.2, root=tmp_path):
        group = tmp_path / f"bench-{os.getpid()}"
        assert (group / "cpu.max").read_text() == "9400 47000"
        assert (group / "cgroup.procs").read_text() == str(os.getpid())
        assert (tmp_path / "cgroup.subtree_control").read_text() == "+cpu"
        for name in ("cpu.max", "cgroup.procs"):  # the kernel's own files go with their folder
            (group / name).unlink()
    assert not group.exists()
    assert (tmp_path / "cgroup.procs").read_text() == str(os.getpid())


def test_what_may_not_be_used_says_so(tmp_path):
    with pytest.raises(NoShares, match="can't be used here"), shares([1], 0.2, root=tmp_path / "missing"):
        pass
