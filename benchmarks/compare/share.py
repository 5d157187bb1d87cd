"""A fixed share of a processor for each of some processes, by the kernel's bandwidth control.

Two of something can be compared with one on a machine with few processors when each has the same small share of
one: the rest of the machine is spare. Needs a ``cpu`` control group that may be written to (root, Linux):
version 1 (kernel documentation, scheduler/sched-bwc) or version 2 (admin-guide/cgroup-v2, ``cpu.max``).
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

_PERIOD_US = 47_000  # long, so that throttling costs little; no multiple of the tick that counts the machine's time
_PATIENCE = 5.0


class NoShares(Exception):
    """This machine's processors can't be shared out. The message says why."""


def controller() -> Path:
    """The folder below which groups with a share can be made. Raises `NoShares`."""
    with contextlib.suppress(OSError):  # not Linux, or not all of it can be seen from here
        for line in Path("/proc/mounts").read_text().splitlines():
            _, folder, kind, options, *_ = line.split()
            if kind == "cgroup" and "cpu" in options.split(","):
                return Path(folder)
            if kind == "cgroup2" and "cpu" in (Path(folder) / "cgroup.controllers").read_text().split():
                return Path(folder)
    raise NoShares("no control group of the kernel hands out processor time here")


@contextlib.contextmanager
def shares(pids: Iterable[int], share: float, *, root: Path | None = None) -> Iterator[None]:
    """Hold each of these processes to ``share`` of one processor inside of the ``with`` block.

    Raises:
        NoShares: The kernel has no such control, or it may not be used.
    """
    root = controller() if root is None else root
    with contextlib.ExitStack() as groups:
        try:
            for pid in pids:
                group = root / f"bench-{pid}"
                group.mkdir()
                groups.callback(_leave, group, root, pid)
                _limit(group, root, share)
                (group / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            raise NoShares(f"control groups can't be used here: {error.strerror}") from None
        yield


def _limit(group: Path, root: Path, share: float) -> None:
    quota = round(share * _PERIOD_US)
    if (root / "cgroup.controllers").exists():
        (root / "cgroup.subtree_control").write_text("+cpu")
        (group / "cpu.max").write_text(f"{quota} {_PERIOD_US}")
    else:
        (group / "cpu.cfs_period_us").write_text(str(_PERIOD_US))
        (group / "cpu.cfs_quota_us").write_text(str(quota))


def _leave(group: Path, root: Path, pid: int) -> None:
    with contextlib.suppress(OSError):  # it has ended. Where it came from does not matter: it ends next
        (root / "cgroup.procs").write_text(str(pid))
    deadline = time.monotonic() + _PATIENCE
    while group.exists() and time.monotonic() < deadline:
        try:
            group.rmdir()
        except OSError:  # the kernel is not done with a process that has ended
            time.sleep(0.01)
