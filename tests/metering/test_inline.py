import asyncio
import contextvars

import pytest
import uvloop

from metering.inline import InlineFuture

LOOPS = pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])


def in_loop(new_loop, main):
    loop = new_loop()
    try:
        return loop.run_until_complete(asyncio.wait_for(main(), 60))
    finally:
        loop.close()


async def awaited(waiting):
    return await waiting


async def called(loop, function, *arguments):
    """Call it as the loop calls a protocol: outside every task."""
    done = loop.create_future()

    def call():
        function(*arguments)
        done.set_result(None)

    loop.call_soon(call)
    await done


@LOOPS
def test_the_task_goes_on_inside_resolve(new_loop):
    async def main():
        loop, log = asyncio.get_running_loop(), []
        name = contextvars.ContextVar("name", default="")
        first, second = InlineFuture(loop=loop), InlineFuture(loop=loop)

        async def waits():
            name.set("waits")
            log.append(await first)
            assert asyncio.current_task() is task
            assert name.get() == "waits"
            log.append(await second)

        def resolve():
            log.append("before")
            first.resolve(1)
            log.append("between")
            second.resolve(2)
            log.append("after")

        task = loop.create_task(waits())
        await asyncio.sleep(0)
        await called(loop, resolve)
        await task
        assert log == ["before", 1, "between", 2, "after"]
        assert name.get() == ""

    in_loop(new_loop, main)


@LOOPS
def test_inside_another_task_it_goes_on_in_the_next_turn(new_loop):
    async def main():
        loop, log = asyncio.get_running_loop(), []
        future = InlineFuture(loop=loop)

        async def waits():
            log.append(await future)

        task = loop.create_task(waits())
        await asyncio.sleep(0)
        future.resolve(1)
        assert log == []
        await task
        assert log == [1]

    in_loop(new_loop, main)


@LOOPS
def test_a_failure_and_a_cancellation_reach_the_task_in_the_next_turn(new_loop):
    async def main():
        loop = asyncio.get_running_loop()
        for end, error in (
            (lambda future, _task: future.set_exception(LookupError()), LookupError),
            (lambda future, _task: future.cancel(), asyncio.CancelledError),
            (lambda _future, task: task.cancel(), asyncio.CancelledError),
        ):
            future, log = InlineFuture(loop=loop), []

            async def waits(future=future, log=log):
                try:
                    await future
                except (LookupError, asyncio.CancelledError) as caught:
                    log.append(type(caught))

            task = loop.create_task(waits())
            await asyncio.sleep(0)
            await called(loop, end, future, task)
            await task
            assert log == [error]
            assert future.done()

    in_loop(new_loop, main)


@LOOPS
def test_it_is_a_future_like_any_other(new_loop):
    async def main():
        loop = asyncio.get_running_loop()
        for wait in (
            lambda future: asyncio.wait_for(future, 60),
            asyncio.shield,
            lambda future: asyncio.gather(future, future),
            lambda future: asyncio.wait([future]),
        ):
            future = InlineFuture(loop=loop)
            waiting = loop.create_task(awaited(wait(future)))
            await asyncio.sleep(0)
            await called(loop, future.resolve, 1)
            await waiting
            assert await future == 1  # and what is done already
        future = InlineFuture(loop=loop)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(future, 0.001)
        assert future.cancelled()
        future = InlineFuture(loop=loop)
        two = [loop.create_task(awaited(future)) for _ in range(2)]
        await asyncio.sleep(0)
        await called(loop, future.resolve, 2)
        assert await asyncio.gather(*two) == [2, 2]
        future = InlineFuture(loop=loop)
        future.set_result(3)
        assert await future == 3
        calls = []
        future = InlineFuture(loop=loop)
        future.add_done_callback(calls.append)
        assert future.remove_done_callback(calls.append) == 1
        task = loop.create_task(awaited(future))
        await asyncio.sleep(0)
        await called(loop, future.resolve, 4)
        assert await task == 4
        assert calls == []

    in_loop(new_loop, main)
