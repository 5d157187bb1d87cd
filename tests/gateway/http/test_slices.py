"""Long work takes turns with everything else on the loop."""

import asyncio

import pytest

from gateway.http.slices import Slices


def counting(steps, log, name):
    for number in range(steps):
        log.append((name, number))
        yield
    return name


def clock():
    """Every look at it is one millisecond later."""
    now = [0.0]

    def look():
        now[0] += 0.001
        return now[0]

    return look


async def test_what_is_short_is_done_at_once():
    turns = []
    asyncio.get_running_loop().call_soon(turns.append, "another")
    assert await Slices(seconds=1.0, clock=clock()).run(counting(5, [], "a"), "") == "a"
    assert turns == []


async def test_of_several_one_slice_is_run_in_each_turn_of_the_loop():
    loop = asyncio.get_running_loop()
    log = []
    slices = Slices(seconds=0.002, clock=clock())  # two steps
    done = asyncio.gather(*(slices.run(counting(20, log, name), name) for name in "abc"))

    def tick():
        log.append(("tick", len(log)))
        if not done.done():
            loop.call_soon(tick)

    loop.call_soon(tick)
    assert await done == ["a", "b", "c"]
    first = [name for name, _ in log].index("tick")
    between = [[]]
    for name, _ in log[first:]:
        if name == "tick":
            between.append([])
        else:
            between[-1].append(name)
    slices_of_turns = [turn for turn in between if turn]
    assert max(len(turn) for turn in slices_of_turns) <= 2
    assert all(len(set(turn)) == 1 for turn in slices_of_turns)
    assert {turn[0] for turn in slices_of_turns[:3]} == {"a", "b", "c"}  # nobody waits for another's end


async def test_while_others_are_at_work_there_are_turns_without_a_slice():
    loop = asyncio.get_running_loop()
    now = [0.0]
    work, turns = [], []
    slices = Slices(seconds=0.002, clock=lambda: now[0])

    def steps():
        for number in range(20):
            now[0] += 0.002
            work.append(number)
            yield

    def other():
        turns.append(len(work))
        now[0] += 0.001
        if len(work) < 20:
            loop.call_soon(other)

    loop.call_soon(other)
    await slices.run(steps(), "")
    assert len(turns) > 2 * len(set(turns))  # it has several turns for each slice


async def test_what_is_nearly_done_does_not_wait_for_what_is_long():
    now, done = [0.0], []
    slices = Slices(seconds=0.002, clock=lambda: now[0])

    def steps(count):
        for _ in range(count):
            now[0] += 0.002
            yield

    async def run(holder, count):
        await slices.run(steps(count), holder)
        done.append(holder)

    loop = asyncio.get_running_loop()
    long = [loop.create_task(run(f"long {number}", 200)) for number in range(20)]
    while now[0] < 0.5:
        await asyncio.sleep(0)
    begun = now[0]
    await run("short", 3)
    assert now[0] - begun < 0.03  # three slices of its own, and a few of others
    for task in long:
        task.cancel()
    await asyncio.gather(*long, return_exceptions=True)


async def test_an_error_ends_the_work_and_frees_the_turn():
    def failing():
        yield from range(10)
        raise ValueError

    slices = Slices(seconds=0.0)
    with pytest.raises(ValueError):
        await slices.run(failing(), "")
    assert await slices.run(counting(10, [], "a"), "") == "a"


async def test_a_caller_that_leaves_ends_the_work_and_frees_the_turn():
    closed = []

    def endless():
        try:
            while True:
                yield
        finally:
            closed.append(True)

    slices = Slices(seconds=0.0)
    task = asyncio.get_running_loop().create_task(slices.run(endless(), ""))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert closed == [True]
    assert await slices.run(counting(10, [], "a"), "") == "a"


async def test_many_works_of_one_holder_are_one_to_everybody_else():
    log = []
    slices = Slices(seconds=0.0, clock=clock())  # one step
    tasks = [
        asyncio.get_running_loop().create_task(slices.run(counting(100, log, "greedy"), "greedy")) for _ in range(50)
    ]
    await asyncio.sleep(0)
    assert len(log) == 2  # the first of them at once, and its first turn: the others wait for theirs
    assert await slices.run(counting(30, log, "honest"), "honest") == "honest"
    greedy = [name for name, _ in log].count("greedy")
    assert greedy <= 30 + 4
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not slices._lines
