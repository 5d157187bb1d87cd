"""What SIGHUP means: reload, or the end of the terminal."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from gateway.process import stopping as module
from gateway.process.stopping import Stopping


@pytest.fixture
def terminal(monkeypatch):
    """Whether there is a terminal, now and later."""
    state = {"is": False}
    monkeypatch.setattr(module, "_has_terminal", lambda: state["is"])
    return state


@pytest.fixture(autouse=True)
async def handlers():
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)}
    yield
    for number, handler in before.items():
        asyncio.get_running_loop().remove_signal_handler(number)
        signal.signal(number, handler)


async def hang_up(stopping):
    """Whether it reloads, and whether it ends."""
    reloads = []
    if stopping.on_hang_up is not None:
        stopping.on_hang_up = lambda: reloads.append(1)
    done = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, done.set)
    os.kill(os.getpid(), signal.SIGHUP)
    os.kill(os.getpid(), signal.SIGUSR1)  # handled after it
    await done.wait()
    asyncio.get_running_loop().remove_signal_handler(signal.SIGUSR1)
    return bool(reloads), stopping.asked.is_set()


@pytest.mark.parametrize(
    ("had", "has", "ignored", "serves", "expected"),
    [
        (False, False, False, True, (True, False)),
        (True, True, False, True, (True, False)),  # somebody's kill -HUP, in a terminal that is still there
        (True, False, False, True, (False, True)),
        (False, False, False, False, (False, True)),  # it has nothing to reload
        (True, False, True, True, (True, False)),  # nohup
        (True, False, True, False, (False, False)),
    ],
)
async def test_a_hang_up(terminal, had, has, ignored, serves, expected):
    signal.signal(signal.SIGHUP, signal.SIG_IGN if ignored else signal.SIG_DFL)
    terminal["is"] = had
    stopping = Stopping()
    stopping.on_hang_up = (lambda: None) if serves else None
    terminal["is"] = has
    assert await hang_up(stopping) == expected
