"""Writing is confined for good, in every way that puts bytes or names on a disk; reading is not."""

from pathlib import Path

from gateway.hardening import landlock
from tests.gateway.hardening.conftest import needs_landlock

pytestmark = needs_landlock


def test_everything_works_inside_and_nothing_outside(run):
    run("""
        inside, outside = config.server.data_dir, folder / "other"
        outside.mkdir()
        (outside / "old").write_text("before")
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        assert not landlock.confined()
        landlock.confine([inside, Path("/dev/null")])
        assert landlock.confined()

        def ways(place):
            old = place / "old"
            yield "write", lambda: (place / "new").write_text("x")
            yield "append", lambda: old.open("a")
            yield "truncate", lambda: os.truncate(old, 0)
            yield "folder", lambda: (place / "folder").mkdir()
            yield "rmdir", lambda: (place / "folder").rmdir()
            yield "link", lambda: (place / "link").hardlink_to(old)
            yield "symlink", lambda: (place / "symlink").symlink_to(old)
            yield "rename", lambda: old.rename(place / "renamed")
            yield "fifo", lambda: os.mkfifo(place / "fifo")
            yield "socket", lambda: socket.socket(socket.AF_UNIX).bind(str(place / "socket"))
            yield "remove", lambda: (place / "renamed").unlink()
            yield "unnamed", lambda: os.close(os.open(place, os.O_TMPFILE | os.O_WRONLY))

        (inside / "old").write_text("before")
        assert {name: error(way) for name, way in ways(inside)} == dict.fromkeys(dict(ways(inside)))
        (inside / "old").write_text("again")
        refused = {name: error(way) for name, way in ways(outside)}
        missing = {name for name, found in refused.items() if found not in ("EACCES", "EPERM")}
        assert missing <= {"rmdir", "remove"}, refused   # there is nothing to remove: none was made
        assert error(lambda: (inside / "old").rename(outside / "old")) in ("EACCES", "EXDEV")
        assert error(lambda: os.mknod(inside / "disk", 0o60600, os.makedev(1, 1))) in ("EACCES", "EPERM")
        assert (outside / "old").read_text() == "before"
        Path("/dev/null").write_text("x")
    """)


def test_children_are_confined_and_cannot_widen_it(run):
    run("""
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        landlock.confine([config.server.data_dir])
        script = "from gateway.hardening import landlock; from pathlib import Path; import sys\\n"
        script += "landlock.confine([Path('/')]); assert landlock.confined(); (Path(sys.argv[1]) / 'x').write_text('x')"
        done = subprocess.run([sys.executable, "-c", script, str(folder)], capture_output=True, text=True)
        assert "PermissionError" in done.stderr, done.stderr
    """)


def test_signals_stop_at_the_border_where_the_kernel_can(run):
    if landlock.abi() < 6:
        return
    run("""
        outsider = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        landlock.confine([config.server.data_dir])
        insider = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
        assert error(outsider.terminate) == "EPERM"
        insider.terminate()
        assert insider.wait() == -signal.SIGTERM
        outsider.stdin.close()
        assert outsider.wait() == 0
    """)


def test_a_place_that_is_not_there_is_left_out(run):
    run("""
        kernel.prctl(kernel.PR_SET_NO_NEW_PRIVS, 1)
        assert landlock.confine([folder / "nowhere", config.server.data_dir]) == landlock.abi()
        (config.server.data_dir / "x").write_text("x")
    """)


def test_the_probe_changes_nothing():
    name, descriptors = Path("/proc/self/comm"), Path("/proc/self/fd")
    before = name.read_text(), len(list(descriptors.iterdir()))
    assert not landlock.confined()
    assert (name.read_text(), len(list(descriptors.iterdir()))) == before
