"""A file a day, shared by processes, and no line older than it may be."""

import os
from pathlib import Path

from gateway.telemetry.log_file import LogFile

DAY = 86_400
NOON = 20_000 * DAY + DAY // 2  # 2024-10-04


class Clock:
    def __init__(self, now: float = NOON) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_day_ends_with_the_first_line_of_the_next(tmp_path):
    clock = Clock()
    file = LogFile(tmp_path / "log", clock=clock)
    file.write(b"monday\n")
    clock.now += DAY / 2 - 1
    file.write(b"still monday\n")
    clock.now += 1
    file.write(b"tuesday\n")
    assert (tmp_path / "log.2024-10-04").read_text() == "monday\nstill monday\n"
    assert (tmp_path / "log").read_text() == "tuesday\n"
    assert (tmp_path / "log").stat().st_mode & 0o777 == 0o600


def test_several_processes_share_a_day_and_its_end(tmp_path):
    clock = Clock()
    files = [LogFile(tmp_path / "log", clock=clock) for _ in range(3)]
    for file in files:
        file.write(b"old\n")
    clock.now += DAY
    for file in files:
        file.write(b"new\n")
    assert (tmp_path / "log.2024-10-04").read_text() == "old\n" * 3
    assert (tmp_path / "log").read_text() == "new\n" * 3
    assert len(names(tmp_path)) == 2


def test_no_line_is_kept_longer_than_it_may_be(tmp_path):
    clock = Clock()
    file = LogFile(tmp_path / "log", 14, clock)
    for stranger in ("log.2024-99-99x", "log.gz", "other.2001-01-01"):
        (tmp_path / stranger).write_text("x")
    for _ in range(40):
        file.write(b"line\n")
        clock.now += DAY
    file.tick()
    dated = [name for name in names(tmp_path) if name.startswith("log.2024-1")]
    assert dated[0] == "log.2024-10-31"  # 14 days before 2024-11-13, less the day that its first line is 14 days old
    assert len(dated) == 13
    assert {"log.2024-99-99x", "log.gz", "other.2001-01-01"} <= set(names(tmp_path))


def test_where_nobody_writes_a_tick_is_enough(tmp_path):
    clock = Clock()
    file = LogFile(tmp_path / "log", 2, clock)
    file.write(b"line\n")
    clock.now += DAY
    file.tick()
    assert names(tmp_path) == ["log", "log.2024-10-04"]
    clock.now += DAY
    file.tick()
    assert names(tmp_path) == ["log", "log.2024-10-05"]  # of an empty day


def test_a_start_ends_what_another_day_left(tmp_path):
    (tmp_path / "log").write_text("left\n")
    os.utime(tmp_path / "log", (NOON - DAY, NOON - DAY))
    file = LogFile(tmp_path / "log", clock=Clock())
    file.write(b"new\n")
    assert (tmp_path / "log.2024-10-03").read_text() == "left\n"
    assert (tmp_path / "log").read_text() == "new\n"


def test_a_file_that_somebody_moved_is_followed(tmp_path):
    clock = Clock()
    file = LogFile(tmp_path / "log", clock=clock)
    file.write(b"one\n")
    (tmp_path / "log").rename(tmp_path / "moved")
    clock.now += DAY
    file.write(b"two\n")
    assert (tmp_path / "moved").read_text() == "one\n"
    assert (tmp_path / "log").read_text() == "two\n"


def test_a_full_disk_costs_lines_alone(tmp_path):
    file = LogFile(tmp_path / "log", clock=Clock())
    full = os.open("/dev/full", os.O_WRONLY)
    os.dup2(full, file._descriptor)
    os.close(full)
    file.write(b"lost\n")
    file.flush()
    file.close()
    file.close()
