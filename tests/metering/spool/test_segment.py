import multiprocessing
import resource
import signal

import pytest

from metering.spool.frames import INTENT, frame
from metering.spool.segment import Segment


def hold(path, ready):
    segment = Segment.create(path, 0.0)
    segment.write(frame(INTENT, "p r") + b"torn")
    ready.set()
    signal.pause()


def test_a_living_owner_keeps_its_file_and_a_killed_one_leaves_it(tmp_path):
    path = tmp_path / "1.log"
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    owner = context.Process(target=hold, args=(path, ready))
    owner.start()
    assert ready.wait(30)
    assert Segment.adopt(path, 0.0) is None
    owner.kill()
    owner.join()
    segment = Segment.adopt(path, 0.0)
    assert segment.read() == frame(INTENT, "p r")
    segment.close()


def test_a_file_that_vanishes_is_nobodys(tmp_path):
    assert Segment.adopt(tmp_path / "none.log", 0.0) is None


def test_what_does_not_fit_is_cut_off_whole(tmp_path):
    segment = Segment.create(tmp_path / "1.log", 0.0)
    segment.write(b"a" * 100)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    old = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (150, before[1]))  # the kernel takes 50 bytes of the next write
    try:
        with pytest.raises(OSError):
            segment.write(b"b" * 100)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, old)
    assert segment.read() == b"a" * 100
    segment.write(b"c")
    assert segment.read() == b"a" * 100 + b"c"
    segment.close()


@pytest.mark.parametrize(
    ("running", "owed", "age", "goes"), [(0, 0, 11, True), (1, 0, 11, False), (0, 1, 11, False), (0, 0, 9, False)]
)
def test_when_a_file_may_go(tmp_path, running, owed, age, goes):
    segment = Segment.create(tmp_path / "1.log", 0.0)
    segment.running, segment.owed = running, owed
    assert segment.may_go(age, 10) is goes
    segment.remove()
    assert list(tmp_path.iterdir()) == []
