"""Child processes that end with the process that started them, however that one ends.

`start` is `subprocess.Popen`, for servers and whatever else would run on for ever. On Linux the kernel kills the child
when its parent dies (``PR_SET_PDEATHSIG``), SIGKILL included; elsewhere, `end_all` does it when the parent ends in
order. What a killed child has started is that child's own matter: a gateway's workers notice, and its store too.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import threading
import weakref
from collections.abc import Sequence
from pathlib import Path
from typing import Any

_PR_SET_PDEATHSIG = 1  # prctl(2)
_started: weakref.WeakSet[subprocess.Popen[Any]] = weakref.WeakSet()


def start(command: Sequence[str | os.PathLike[str]], **options: Any) -> subprocess.Popen[Any]:
    """As `subprocess.Popen`: the process id is the command's own.

    The kernel's signal is bound to the thread that calls this: from any other than the main one, only `end_all` ends
    the child.
    """
    bound = sys.platform == "linux" and threading.current_thread() is threading.main_thread()
    guard = [sys.executable, "-I", "-S", str(Path(__file__)), str(os.getpid())] if bound else []
    process = subprocess.Popen([*guard, *command], **options)
    _started.add(process)
    return process


def end_all() -> list[str]:
    """Kill what still runs; the programs that did."""
    left = [process for process in _started if process.poll() is None]
    for process in left:
        process.kill()
    for process in left:
        process.wait()
    return [str(process.args) for process in left]


atexit.register(end_all)


def _become(parent: int, command: list[str]) -> None:
    import ctypes  # noqa: PLC0415 - only here

    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent:  # it died before it could be asked for
        sys.exit(1)
    os.execvp(command[0], command)  # noqa: S606 - the caller's own command


if __name__ == "__main__":
    _become(int(sys.argv[1]), sys.argv[2:])
