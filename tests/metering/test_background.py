import asyncio

from metering.background import end


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
