"""A child ends with the process that started it, however that one ends."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks import processes
from tests.contracts.servers import until

CHILD = [sys.executable, "-c", "import os, sys; print(os.getpid(), flush=True); sys.stdin.read()"]
PARENT = """
import os, subprocess, sys, time
from benchmarks import processes
child = processes.start(sys.argv[1:], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
print(child.pid, child.stdout.readline(), flush=True)
{end}
"""
ENDS = {
    "killed": "os.kill(os.getpid(), 9)",
    "terminated": "os.kill(os.getpid(), 15)",
    "hung up": "os.kill(os.getpid(), 1)",
    "failed": "raise ValueError",
    "left": "os._exit(0)",
    "done": "",
}


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


@pytest.mark.parametrize("end", ENDS)
def test_a_child_ends_with_its_parent(end):
    command = [sys.executable, "-c", PARENT.format(end=ENDS[end]), *CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    pid, own = done.stdout.split()
    assert pid == own  # it is the command itself, not something around it
    until(lambda: gone(int(pid)), "the child's end")


def test_signals_streams_and_the_exit_code_are_the_commands_own():
    with processes.start(["sh", "-c", "read line; exit $line"], stdin=subprocess.PIPE, text=True) as child:
        child.communicate("7\n")
    assert child.returncode == 7
    with processes.start(CHILD, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as child:
        assert int(child.stdout.readline()) == child.pid
        os.kill(child.pid, signal.SIGTERM)
        assert child.wait(20) == -signal.SIGTERM


def test_what_still_runs_at_the_end_is_killed():
    command = [sys.executable, "-c", PARENT.format(end="print(processes.end_all(), child.returncode)"), *CHILD]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines()[-1].endswith("] -9")
