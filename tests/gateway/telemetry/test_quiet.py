"""Nothing that the interpreter or a library reports by itself shows more than a type and a place."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

CANARY = "canary-77-in-a-message"
PREPARED = f"""
import asyncio, gc, logging, sys, threading, warnings
from gateway.telemetry import quiet
from gateway.telemetry.log import Log
CANARY = {CANARY!r}
log = Log("info")
"""
# what happens -> (event, type)
CASES = {
    "raise ValueError(CANARY)": ("crashed", "ValueError"),
    "threading.Thread(target=lambda: int(CANARY)).start()": ("crashed", "ValueError"),
    "class Broken:\n    def __del__(self): raise KeyError(CANARY)\nBroken()": ("unraisable", "KeyError"),
    "warnings.warn(CANARY, UserWarning)": ("warned", "UserWarning"),
    "async def main():\n    asyncio.get_running_loop().set_exception_handler(quiet.loop_handler(log))\n"
    "    asyncio.get_running_loop().call_soon(int, CANARY)\n    await asyncio.sleep(0.01)\n"
    "asyncio.run(main())": ("loop_error", "ValueError"),
    "async def main():\n    asyncio.get_running_loop().set_exception_handler(quiet.loop_handler(log))\n"
    "    async def lost(): raise OSError(CANARY)\n    task = asyncio.ensure_future(lost())\n    await asyncio.sleep(0)\n"
    "    await asyncio.sleep(0)\n    del task\n    gc.collect()\nasyncio.run(main())": ("loop_error", "OSError"),
}


def run(script: str, *, installed: bool = True) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-c", PREPARED + ("quiet.install(log)\n" if installed else "") + script],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        check=False,
    )


@pytest.mark.parametrize("script", CASES)
def test_a_report_is_one_line_of_the_log(script):
    done = run(script)
    event, kind = CASES[script]
    assert done.stdout == ""
    [line] = [json.loads(line) for line in done.stderr.splitlines()]
    assert (line["event"], line["error"]) == (event, kind)
    assert CANARY not in done.stderr


@pytest.mark.parametrize("script", CASES)
def test_the_interpreter_alone_would_have_shown_it(script):
    done = run(script.replace("quiet.loop_handler(log)", "None"), installed=False)
    assert CANARY in done.stderr


@pytest.mark.parametrize("logger", ["asyncio", "aiohttp.access", "redis", ""])
def test_libraries_log_nowhere(logger):
    done = run(f"logging.getLogger({logger!r}).critical(CANARY); logging.getLogger({logger!r}).warning('%d', CANARY)")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_an_operator_can_fix_is_said():
    done = run("from gateway.config import ConfigError\nraise ConfigError(('server.port: is taken; choose another',))")
    first, second = done.stderr.splitlines()
    assert first == "error: server.port: is taken; choose another"
    assert json.loads(second)["error"] == "ConfigError"


def test_an_interrupt_says_nothing():
    assert run("raise KeyboardInterrupt").stderr == ""
