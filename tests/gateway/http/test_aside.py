"""Work on the thread beside the loop: one at a time, holders in turn, and no second one by leaving."""

from __future__ import annotations

import asyncio
import threading

import pytest

from gateway.http.aside import Aside


async def test_what_work_returns_or_raises_comes_back() -> None:
    aside = Aside()
    assert await aside.run(threading.get_ident, "a") != threading.get_ident()
    with pytest.raises(ZeroDivisionError):
        await aside.run(lambda: 1 // 0, "a")
    assert aside._lines == {}


async def test_holders_take_turns() -> None:
    aside, done, go = Aside(), [], threading.Event()

    def work(name: str) -> None:
        assert go.wait(60)
        done.append(name)

    begin = asyncio.get_running_loop().create_task
    tasks = [begin(aside.run(lambda name=name: work(name), name)) for name in ("a", "a", "a", "b", "c")]
    await asyncio.sleep(0)
    go.set()
    await asyncio.gather(*tasks)
    assert done == ["a", "b", "c", "a", "a"]
    assert aside._lines == {}


async def test_who_leaves_and_comes_again_has_no_second_work() -> None:
    aside, running, most, go = Aside(), 0, 0, threading.Event()
    begun = threading.Event()

    def work() -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        begun.set()
        assert go.wait(60)
        running -= 1

    for _ in range(20):
        task = asyncio.get_running_loop().create_task(aside.run(work, "a"))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        if not begun.is_set():
            await asyncio.to_thread(begun.wait, 60)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    go.set()
    await aside.run(lambda: None, "b")
    assert most == 1
    assert aside._lines == {}
