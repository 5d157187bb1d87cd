"""Each command's help ends with examples, and each example is a command line that is understood."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator

import click
import pytest

from gateway.cli import COMMANDS, cli
from gateway.cli.examples import PROGRAM


def commands(group: click.Group = cli, path: tuple[str, ...] = ()) -> Iterator[tuple[str, click.Command]]:
    yield " ".join(path), group
    for name in group.list_commands(click.Context(group)):
        command = group.get_command(click.Context(group), name)
        assert command is not None
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))
        else:
            yield " ".join((*path, name)), command


ALL = dict(commands())


def examples(command: click.Command) -> list[str]:
    text = command.get_help(click.Context(command, info_name="x"))
    _, found, lines = text.partition("\n  Examples:\n")
    return [line.strip() for line in lines.splitlines()] if found else []


def test_all_commands_are_looked_at() -> None:
    assert {path.split()[0] for path in ALL if path} == set(COMMANDS)


@pytest.mark.parametrize("path", ALL)
def test_each_command_s_help_has_examples_that_parse(path: str) -> None:
    shown = examples(ALL[path])
    assert shown
    for line in shown:
        words = shlex.split(re.sub(r"^[A-Z_]+=\S+ ", "", line))
        assert words[0] == PROGRAM
        assert " ".join(words[1:]).startswith(path), line
        command: click.Command = cli
        arguments = words[1:]
        while isinstance(command, click.Group):
            name, command, arguments = command.resolve_command(click.Context(command), arguments)
            assert name, line
            assert command is not None
        for missing in ("statement.json", "receipt.json"):  # click wants these to exist
            arguments = [__file__ if word == missing else word for word in arguments]
        if arguments != ["--help"]:
            command.make_context(PROGRAM, arguments)
