import asyncio

import pytest

from metering.background import Background, end, within


async def test_a_task_that_swallows_a_cancellation_is_ended_all_the_same():
    swallowed = 0

    async def stubborn():
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(3600)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed == 2:
                    raise

    task = asyncio.get_running_loop().create_task(stubborn())
    await asyncio.sleep(0)
    await end(task)
    assert task.cancelled()
    assert swallowed == 2


async def test_what_has_ended_or_never_was_needs_nothing():
    async def fails():
        raise RuntimeError

    task = asyncio.get_running_loop().create_task(fails())
    await asyncio.wait([task])
    await end(task)
    await end(None)
    assert task.exception() is not None


async def test_it_runs_once_from_start_to_close_and_may_be_started_again():
    begun = ended = 0

    class Task(Background):
        async def _run(self):
            nonlocal begun, ended
            begun += 1
            try:
                await asyncio.sleep(3600)
            finally:
                ended += 1

    task = Task()
    await task.close()  # it never ran
    task.start()
    task.start()
    await asyncio.sleep(0)
    assert (begun, ended) == (1, 0)
    await task.close()
    assert (begun, ended) == (1, 1)
    task.start()
    await asyncio.sleep(0)
    await task.close()
    assert (begun, ended) == (2, 2)


async def test_work_within_a_time_gives_its_result_its_error_or_a_timeout():
    async def fails():
        raise ValueError

    assert await within(5, asyncio.sleep(0, "done")) == "done"
    with pytest.raises(ValueError):
        await within(5, fails())
    with pytest.raises(TimeoutError):
        await within(0.01, asyncio.sleep(60))


async def test_a_cancelled_caller_ends_work_that_swallows_its_first_cancellation():
    swallowed = 0

    async def stubborn():
        nonlocal swallowed
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                swallowed += 1
                if swallowed > 1:
                    raise

    caller = asyncio.get_running_loop().create_task(within(60, stubborn()))
    await asyncio.sleep(0.01)
    caller.cancel()
    await asyncio.wait([caller], timeout=60)
    assert caller.cancelled()
    assert swallowed == 2
