"""Whatever a provider and the gateway do to a connection: its state changes only as its module says."""

import asyncio
import contextlib
import itertools
import socket

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from gateway.upstream import connection as module
from gateway.upstream.connection import BODY, CLOSED, ENDED, IDLE, LAST, UNBOUNDED, Connection, ConnectionState
from gateway.upstream.faults import Fault
from tests.gateway.states import documented, watched

DOCUMENTED = documented(module, ConnectionState)
REQUEST = b"POST / HTTP/1.1\r\nhost: x\r\n\r\n"
STATUSES = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 103 Early Hints\r\n",
    b"HTTP/1.0 200 OK\r\n",
)
FIELDS = (
    b"content-length: 5\r\n",
    b"transfer-encoding: chunked\r\n",
    b"connection: close\r\n",
    b"content-length: x\r\n",
)
BODIES = (b"\r\nhello", b"\r\n5\r\nhello\r\n0\r\n\r\n", b"\r\n", b"\r\n5\r\nhel", b"junk", b"")
ANSWERS = [status + field + body for status, field, body in itertools.product(STATUSES, (*FIELDS, b""), BODIES)]
STEPS = ("send", "pause", "resume", "flow", "steady", "close", "end", "time out", "stale")
SEND_OK = ("send", ANSWERS[0])

steps = st.lists(
    st.one_of(
        st.sampled_from(STEPS),
        st.sampled_from(ANSWERS),
        st.tuples(st.sampled_from(ANSWERS), st.integers(1, 60)).map(lambda cut: cut[0][: cut[1]]),
    ),
    max_size=12,
)


class Sink:
    """Hears one answer. It may raise or close the connection when it hears ``at``."""

    def __init__(self, connection, at, closes):
        self.connection, self.at, self.closes = connection, at, closes
        self.heard = []

    def hear(self, what):
        assert not self.heard or self.heard[-1] not in {"end", "fault"}, self.heard
        self.heard.append(what)
        if what == self.at:
            if not self.closes:
                self.heard.clear()  # that its work failed is told to it, also after an end
                raise ZeroDivisionError
            self.connection.close()
            self.heard.append("end")  # afterwards it hears nothing

    def on_head(self, status, headers):
        self.hear("head")

    def on_data(self, data):
        self.hear("data")

    def on_end(self):
        self.hear("end")

    def on_fault(self, fault):
        self.hear("fault")


class Stand:
    """A connection and what is done to it; `seen` are the changes of its state."""

    def __init__(self, seen):
        self.near, self.far = socket.socketpair()
        self.near.setblocking(False)
        self.connection = watched(Connection, seen)(asyncio.get_running_loop(), self.near)

    def do(self, step, at, closes):
        connection = self.connection
        if isinstance(step, bytes):
            with contextlib.suppress(OSError):
                self.far.sendall(step)
            connection.readable()
        elif step == "send" and connection.state is IDLE:
            connection.send([REQUEST], Sink(connection, at, closes))
        elif step == "end":
            with contextlib.suppress(OSError):
                self.far.shutdown(socket.SHUT_WR)
            connection.readable()
        elif step == "time out" and connection.busy:
            connection.timed_out()
        elif step == "stale" and connection.state is IDLE:
            connection.stale()
        elif step == "flow" and connection.state in {BODY, UNBOUNDED}:
            connection.flow(None, None, Client(), lambda shown: None)
        elif step in {"pause", "resume", "steady", "close"}:
            getattr(connection, step)()
        assert connection.closed is (connection.state is CLOSED)
        assert connection.busy is (connection.state not in {IDLE, CLOSED})
        assert connection.state not in {ENDED, LAST}  # nothing is left between two calls


class Client:
    def send(self, data):
        return len(data)

    def waiting(self):
        return 0

    def write(self, data):
        pass


def changes(steps, at, closes):
    """The changes of state that these steps lead to."""
    seen = set()

    async def run():
        stand = Stand(seen)
        for step in steps:
            try:
                stand.do(step, at, closes)
            except ZeroDivisionError:
                assert stand.connection.closed  # a sink that fails loses its connection
        stand.connection.close()
        stand.far.close()

    asyncio.run(run())
    return seen


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(steps=steps, at=st.sampled_from(["head", "data", "end", "fault", None]), closes=st.booleans())
@example(steps=["send", ANSWERS[0] + b"x"], at=None, closes=True)
def test_it_changes_only_as_its_module_says(steps, at, closes):
    assert changes(["send", *steps], at, closes) <= DOCUMENTED


CASES = {
    "an answer": ["send", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"],
    "the last answer": ["send", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\nconnection: close\r\n\r\nhello"],
    "surplus": ["send", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\n"],
    "no body": ["send", b"HTTP/1.1 204 No Content\r\n\r\n"],
    "until the end": ["send", b"HTTP/1.1 200 OK\r\n\r\nhello", "end"],
    "idle": ["close"],
    "before the head": ["send", "close"],
    "inside a body": ["send", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nh", "close"],
    "inside an open body": ["send", b"HTTP/1.1 200 OK\r\n\r\nh", "close"],
}


def test_what_its_module_says_happens():
    seen = set().union(*(changes(steps, None, True) for steps in CASES.values()))
    seen |= changes(CASES["an answer"], "data", True)  # closed by its sink when the whole answer is parsed
    assert DOCUMENTED - seen == set()


def test_a_sink_that_closed_the_connection_hears_nothing_more():
    """Not even of what had come in the same read."""

    async def run():
        stand = Stand(set())
        sink = Sink(stand.connection, "head", True)
        stand.connection.send([REQUEST], sink)
        stand.far.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello")
        stand.connection.readable()
        assert sink.heard == ["head", "end"]
        stand.far.close()

    asyncio.run(run())


@pytest.mark.parametrize("state", [state for state in ConnectionState if state not in {IDLE, CLOSED}])
def test_a_state_of_an_answer_has_a_fault_for_its_time_out(state):
    async def run():
        stand = Stand(set())
        heard = []
        sink = Sink(stand.connection, None, True)
        sink.on_fault = heard.append
        stand.connection.send([REQUEST], sink)
        stand.connection.state = state
        stand.connection.timed_out()
        expected = Fault.FIRST_BYTE_TIMEOUT if state is ConnectionState.WAITING else Fault.IDLE_TIMEOUT
        assert heard == [expected]
        stand.far.close()

    asyncio.run(run())
