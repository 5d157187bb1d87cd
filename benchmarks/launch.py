"""Starts a gateway into which a test or a campaign has put code of its own.

    python -I -m benchmarks.launch FILE=TEXT ... -- gateway ARGUMENT...

A gateway honours nothing in its environment that would load other code, so that this is another program: it runs the
gateway's module in its own process, after ``install(TEXT)`` of each FILE. What it starts of the gateway (itself once
more without its environment, its workers) it starts through this program.
"""

from __future__ import annotations

import importlib.util
import runpy
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from gateway import variables

PROGRAMS = frozenset(("gateway", "gateway.process.worker"))

_python = variables.python


def injection(file: Path | str, text: str = "") -> str:
    """How an injected file is named on the command line."""
    return f"{file}={text}"


def command(*injections: str) -> list[str]:
    """What stands before a gateway's arguments to start it with these injections."""
    return _python("benchmarks.launch", *injections, "--", "gateway")


def _install(injected: str) -> None:
    file, _, text = injected.partition("=")
    spec = importlib.util.spec_from_file_location(f"injected_{Path(file).stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    module.install(text)


def _through_this(injections: Sequence[str]) -> Callable[..., list[str]]:
    def python(module: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
        if module not in PROGRAMS:
            return _python(module, *arguments, options=options)
        return _python("benchmarks.launch", *injections, "--", module, *arguments, options=options)

    return python


def main(arguments: Sequence[str]) -> None:
    """See the module."""
    variables.narrow()
    cut = arguments.index("--")
    module, *rest = arguments[cut + 1 :]
    variables.python = _through_this(arguments[:cut])
    for injected in arguments[:cut]:
        _install(injected)
    sys.argv = [module, *rest]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
