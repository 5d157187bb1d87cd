import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

from benchmarks import ports
from benchmarks.ports import free_port


def test_no_two_callers_get_one_port_whether_they_share_a_process_or_not():
    ask = [sys.executable, "-c", "from benchmarks.ports import free_port; print(free_port()); input()"]
    others = [subprocess.Popen(ask, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        mine = list(pool.map(lambda _: free_port(), range(200)))
    theirs = [int(other.stdout.readline()) for other in others]
    for other in others:
        other.communicate("\n")
    assert len({*mine, *theirs}) == 204


def test_a_port_that_is_claimed_or_listened_on_is_not_given(monkeypatch):
    port = free_port()
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        taken = listening.getsockname()[1]
        tried = iter([port, taken, taken - 10_000, port, free_port() + 1])
        monkeypatch.setattr(ports, "_random", type("", (), {"randint": lambda *_: next(tried)}))
        assert free_port() not in (port, taken, taken - 10_000)


def test_the_server_of_a_claimed_port_listens_on_it_and_does_so_again():
    port = free_port()
    for _ in range(2):
        with closing(socket.create_server(("127.0.0.1", port))) as server:
            assert server.getsockname()[1] == port
            with closing(socket.create_connection(("127.0.0.1", port))):
                pass
