"""``python -m benchmarks.simulator``: prints one JSON line with its address, serves until it is told to stop."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
from pathlib import Path

from benchmarks.simulator.controls import FAULTS, Controls, override
from benchmarks.simulator.server import Simulator
from benchmarks.simulator.tls import Certificates

_CONTROLS = (
    "chunks",
    "pace",
    "size",
    "first",
    "thinking",
    "at",
    "kib",
    "dims",
    "retry",
    "share",
    "length",
    "prose",
    "fault",
)


def _parser() -> argparse.ArgumentParser:
    faults = "\n".join(f"  {name:14} {text}" for name, text in FAULTS.items())
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.simulator",
        description="A provider that speaks the OpenAI, Anthropic and Google wire formats.",
        epilog=f"faults:\n{faults}\n\nper request, in the model name: any+chunks=50+pace=10ms+fault=reset_mid+at=7",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=0, help="0 takes a free one (default)")
    parser.add_argument("--tls-cert", type=Path)
    parser.add_argument("--tls-key", type=Path)
    parser.add_argument("--record", action="store_true", help="keep the last requests, content included")
    parser.add_argument("--key", action="append", default=[], help="accept this API key only (repeatable)")
    parser.add_argument("--until-eof", action="store_true", help="stop when standard input ends")
    for name in _CONTROLS:
        parser.add_argument(f"--{name}", help="default of the control of that name")
    return parser


async def _serve(options: argparse.Namespace) -> None:
    chosen = {name: getattr(options, name) for name in _CONTROLS if getattr(options, name) is not None}
    tls = Certificates(options.tls_cert, options.tls_cert, options.tls_key) if options.tls_cert else None
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if options.until_eof:
        os.set_blocking(sys.stdin.fileno(), False)
        loop.add_reader(sys.stdin.fileno(), stop.set)
    async with Simulator.start(
        host=options.host,
        port=options.port,
        tls=tls,
        record=options.record,
        keys=frozenset(options.key),
        defaults=override(Controls(), chosen),
    ) as simulator:
        print(json.dumps({"url": simulator.url, "port": simulator.port, "pid": os.getpid()}), flush=True)
        gc.collect()
        gc.freeze()
        gc.set_threshold(100_000, 50, 50)
        await stop.wait()


def main() -> None:
    """Parse the command line and serve."""
    options = _parser().parse_args()
    try:
        import uvloop  # noqa: PLC0415 - exists on some platforms only
    except ImportError:
        asyncio.run(_serve(options))
    else:
        uvloop.run(_serve(options))


if __name__ == "__main__":
    main()
