"""A client that stops reading stops its provider; nothing piles up in between."""

import socket
from pathlib import Path

import pytest

from tests.integration.conftest import eventually

FLOOD = 60_000_000  # bytes of the flood's answer, far above every bound here
BOUND = 12_000_000  # allocator slack and one read of ours


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * 4096


def paused(running) -> int:
    """The bytes that wait for the gateway to read, once their number no longer changes."""
    seen = [-1, -2, -3, -4]

    def same():
        seen.append(_unread(running))
        return len(set(seen[-8:])) == 1 and len(seen) > 12

    eventually(same, bool)
    return seen[-1]


def _unread(running) -> int:
    """Bytes that wait in the kernel on the gateway's side of its provider connections."""
    port = running.sim.port
    total = 0
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if int(fields[2].split(":")[1], 16) == port and fields[3] == "01":
            total += int(fields[4].split(":")[1], 16)
    return total


@pytest.mark.parametrize("kind", ["openai", "anthropic", "google"])
def test_a_reader_that_stops_pauses_the_provider(running, kind):
    pid = running.gateway.process.pid
    before = resident(pid)
    # The kernel's own receive buffer: with one below the loopback's segment size the peer's kernel
    # sends a window's probe each 200 ms, and the answer takes minutes once the reader goes on.
    with running.client() as client:
        client.send(running.chat(kind, "flood"))
        assert client.head().status == 200
        assert eventually(lambda: paused(running), bool)
        assert running.sim.stats()["active"] >= 1
        assert resident(pid) - before < BOUND
        total = 0
        while (chunk := client.chunk()) is not None and chunk:
            total += len(chunk)
        assert chunk == b""
    assert total > FLOOD
    assert running.next_logged()[0]["outcome"] == "completed"


def test_many_readers_that_stop(running):
    pid = running.gateway.process.pid
    clients = [running.client(receive_buffer=4_096) for _ in range(20)]
    before = resident(pid)
    try:
        for client in clients:
            client.send(running.chat(script="flood"))
        for client in clients:
            assert client.head().status == 200
        paused(running)
        assert resident(pid) - before < BOUND + len(clients) * 1_000_000  # of 60 MB each
    finally:
        for client in clients:
            client.close()
    running.sim.wait(active=0)
    lines = running.next_logged(len(clients))
    assert {line["outcome"] for line in lines} == {"client_abort"}


def test_a_reader_that_stops_and_leaves_frees_its_provider(running):
    with running.client(receive_buffer=4_096) as client:
        answer = client.send(running.chat(script="flood")).head()
        paused(running)
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    running.sim.wait(active=0)
    assert running.settled(answer.rid)["basis"] == "partial"
