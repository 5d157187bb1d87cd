"""``serve`` hands over to the supervisor."""

from __future__ import annotations

import pytest

from tests.gateway.cli.commands import Command, command

__all__ = ["command"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("serve",), "gateway.toml 2 models:1"),
        (("serve", "--workers", "2"), "gateway.toml 2 models:1"),
    ],
)
def test_serve_hands_over_to_the_supervisor(arguments: tuple[str, ...], said: str, command: Command) -> None:
    program = """
import sys, types
stub = types.ModuleType("gateway.process.supervisor")
def run(path, config, workers):
    print(path.name, workers or 2, f"models:{len(config.models)}")
    return 7
stub.run = run
sys.modules["gateway.process.supervisor"] = stub
from gateway.cli import main; main()
"""
    done = command(*arguments, program=program)
    assert (done.code, done.out.strip(), done.err) == (7, said, "")
