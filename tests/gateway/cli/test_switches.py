"""``switches``, with the real command on an embedded store; no server runs."""

from __future__ import annotations

import pytest

from tests.gateway.cli.commands import Command, command, noted

__all__ = ["command"]


def test_what_is_switched_off_is_listed_until_it_is_on_again(command: Command) -> None:
    for what, name in (("provider", "openai"), ("model", "m"), ("key", "openai:1")):
        assert command("switches", "off", what, name).out == "off\n"
    listed = command("switches", "list", "--json").lines
    assert [(one["what"], one["name"]) for one in listed] == [
        ("provider", "openai"),
        ("model", "m"),
        ("key", "openai:1"),
    ]
    assert "3 switched off" in command("switches", "list").out
    assert command("switches", "on", "provider", "openai").out == "on\n"
    assert len(command("switches", "list", "--json").lines) == 2
    assert [(actor, action) for actor, action, _ in noted(command)] == [
        *[("cli", "switched_off")] * 3,
        ("cli", "switched_on"),
    ]


@pytest.mark.parametrize(
    ("what", "name"),
    [("provider", "none"), ("model", "none"), ("key", "openai"), ("key", "none:1"), ("key", "openai:0")],
)
def test_what_is_not_there_cannot_be_switched_off(command: Command, what: str, name: str) -> None:
    done = command("switches", "off", what, name)
    assert (done.code, done.out) == (1, "")
    assert "has none of this name" in done.err
