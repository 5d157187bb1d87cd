import asyncio
import gc
import weakref

import pytest

from gateway.errors import Superseded, TokenRevoked
from gateway.inference.running import Cancellation, Running
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


async def test_a_request_that_has_ended_is_no_work_for_the_collector():
    class Served(Request):
        pass

    served = Served()
    served.cancellation = Cancellation()
    served.cancellation.act = served.stop
    gone = weakref.ref(served)
    gc.disable()
    try:
        served.cancellation.end()
        served.cancellation.stop(TokenRevoked(), Outcome.REVOKED)  # nothing is left that could be ended
        del served
        assert gone() is None
    finally:
        gc.enable()


async def test_its_length_is_the_number_of_tasks():
    running = Running()
    running.tasks.add(asyncio.current_task())
    assert len(running) == 1


async def ended(how):
    """What a request raises and its `Cancellation` after ``how`` was done to it while it waited."""
    begun, made = asyncio.Event(), []

    async def request():
        made.append(Cancellation())
        try:
            begun.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            if (error := made[0].caught()) is not None:
                raise error from None
            raise

    task = asyncio.get_running_loop().create_task(request())
    await begun.wait()
    how(task, made[0])
    return (await asyncio.gather(task, return_exceptions=True))[0], made[0]


async def test_a_stopped_request_raises_what_it_was_stopped_with():
    first = TokenRevoked()

    def stop(_task, cancellation):
        cancellation.stop(first, Outcome.REVOKED)
        cancellation.stop(Superseded(), Outcome.SUPERSEDED)  # the first one decides

    error, cancellation = await ended(stop)
    assert error is first
    assert (cancellation.error, cancellation.outcome) == (first, Outcome.REVOKED)


@pytest.mark.parametrize("stopped", [False, True])
async def test_whoever_else_cancels_a_request_cancels_it(stopped):
    def cancel(task, cancellation):
        if stopped:
            cancellation.stop(TokenRevoked(), Outcome.REVOKED)
        task.cancel()

    error, _ = await ended(cancel)
    assert isinstance(error, asyncio.CancelledError)


async def test_a_stream_is_ended_by_what_it_says_and_its_task_goes_on():
    acts = []
    cancellation = Cancellation()
    cancellation.act = lambda: acts.append("stream")
    cancellation.stop(TokenRevoked(), Outcome.REVOKED)
    await asyncio.sleep(0)
    assert acts == ["stream"]
    assert asyncio.current_task().cancelling() == 0
