"""What `harden` promises holds of a real process, seen from inside and from outside."""

import json
import resource
import signal
from pathlib import Path

from gateway import variables
from gateway.hardening.process import OWN, Measure, Measured
from tests.gateway.hardening.conftest import needs_landlock, needs_seccomp


@needs_landlock
@needs_seccomp
def test_every_measure_of_our_own_holds(run):
    done = run(
        """
        import faulthandler
        faulthandler.enable()
        before = observe()
        variables.narrow()
        harden(config)
        print(json.dumps([before, observe()]))
        status = dict(line.split(":\\t", 1) for line in Path("/proc/self/status").read_text().splitlines())
        assert status["NoNewPrivs"] == "1" and status["Seccomp"] == "2"
        assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
    """,
        options=variables.ISOLATED,
    )
    before, after = json.loads(done.stdout)
    assert {before[measure] for measure in OWN[:6]} == {Measured.NO}
    assert {after[measure] for measure in OWN} == {Measured.YES}
    assert list(after) == list(Measure)


def test_off_is_off(run):
    run("""
        before = observe()
        harden(replace(config, hardening=HardeningConfig(HardeningMode.OFF)))
        assert observe() == before
        (folder / "written").write_text("x")
    """)


@needs_landlock
def test_the_log_s_folder_and_a_far_socket_s_are_written_too(run):
    run("""
        log = folder / "log" / "gateway.log"
        log.parent.mkdir()
        deep = folder / ("d" * 120)
        deep.mkdir()
        far = replace(config, log=LogConfig(file=log), server=replace(config.server, data_dir=deep))
        harden(far)
        log.write_text("x")
        (deep / "x").write_text("x")
        [socket_folder] = [place for place in process.writable(far) if place.name.startswith("store-")]
        socket.socket(socket.AF_UNIX).bind(str(socket_folder / "store.sock"))
        (socket_folder / "store.sock").unlink()
        assert error(lambda: (folder / "x").write_text("x")) == "EACCES"
        print(socket_folder)
    """)


CRASH = """
    os.chdir(config.server.data_dir)
    hard = resource.getrlimit(resource.RLIMIT_CORE)[1]
    resource.setrlimit(resource.RLIMIT_CORE, (hard, hard))
    resource.setrlimit = lambda *_: None  # as if the limit had been raised again
    {}
    os.kill(os.getpid(), signal.SIGABRT)
"""


def test_no_core_is_written_even_if_the_limit_were_raised(run, tmp_path):
    # If no core can be written here at all, none is written either way.
    allowed = resource.getrlimit(resource.RLIMIT_CORE)[1] != 0
    to_a_file = allowed and Path("/proc/sys/kernel/core_pattern").read_text().strip() == "core"
    for step in ("", "harden(config)"):
        done = run(CRASH.format(step), check=False)
        assert done.returncode == -signal.SIGABRT
        found = list((tmp_path / "data").glob("core*"))
        assert bool(found) is (to_a_file and not step)
        for core in found:
            core.unlink()


@needs_landlock
def test_it_takes_no_time_to_speak_of(run):
    # Counted in system calls, not in seconds: what a start pays is these and nothing else.
    done = run("""
        import cProfile, pstats
        profile = cProfile.Profile()
        profile.runcall(harden, config)
        print(pstats.Stats(profile).total_calls)
    """)
    assert int(done.stdout) < 1_000


@needs_seccomp
def test_what_a_process_of_the_same_user_can_and_cannot(run):
    """docs/threat-model.md: closed are memory, environment and descriptors; signals and arguments are not."""
    done = run("""
        def become_somebody():
            if not os.geteuid():
                os.setgid(65534)
                os.setuid(65534)
                kernel.prctl(kernel.PR_SET_DUMPABLE, 1)  # as a program that this user started

        def child(prepare):
            ready, tell = os.pipe()
            pid = os.fork()
            if not pid:
                become_somebody()
                prepare()
                os.write(tell, b"x")
                signal.pause()
            os.read(ready, 1)
            return pid

        plain, hardened = child(lambda: None), child(lambda: harden(config))
        become_somebody()
        for pid in (plain, hardened):
            places = [Path(f"/proc/{pid}") / name for name in ("environ", "maps", "mem", "fd/0", "cmdline")]
            opened = [error(lambda place=place: os.close(os.open(place, os.O_RDONLY))) is None for place in places]
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
            print(json.dumps(opened))
    """)
    plain, hardened = map(json.loads, done.stdout.splitlines())
    assert plain == [True, True, True, True, True]
    assert hardened == [False, False, False, False, True]
