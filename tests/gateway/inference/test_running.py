import asyncio

from gateway.errors import TokenRevoked
from gateway.inference.running import Running
from metering.usage import Outcome


class Request:
    def __init__(self):
        self.stopped = []

    def stop(self, error, outcome):
        self.stopped.append((error.code, outcome))


def test_only_the_requests_of_a_session_are_stopped():
    running, mine, second, other = Running(), Request(), Request(), Request()
    running.begin("a", mine)
    running.begin("a", second)
    running.begin("b", other)
    assert running.end_session("a", TokenRevoked(), Outcome.REVOKED) == 2
    assert mine.stopped == second.stopped == [("token_revoked", Outcome.REVOKED)]
    assert other.stopped == []


def test_what_has_ended_is_forgotten():
    running, request = Running(), Request()
    running.begin("a", request)
    running.end("a", request)
    running.end("a", request)
    assert running.end_session("a", TokenRevoked(), Outcome.REVOKED) == 0
    assert running._sessions == {}


async def test_its_length_is_the_number_of_tasks():
    running = Running()
    running.tasks.add(asyncio.current_task())
    assert len(running) == 1
