"""The command line: ``codegrex-gateway``.

Rules:

1. Exit codes: 0 done, 1 a fault, 2 wrong usage. Each fault is one line on standard error that
   says how to fix it; never a traceback for something that the operator can fix.
2. ``--json`` writes to standard output what programs read, one object a line, and nothing else.
3. A command's module is imported when that command runs, so that none waits for another's imports.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from gateway.hardening.environment import forget_tls

COMMANDS = {
    "serve": ("gateway.cli.serve", "serve"),
    "dev": ("gateway.cli.dev", "dev"),
    "sessions": ("gateway.cli.sessions", "sessions"),
    "usage": ("gateway.cli.usage", "usage"),
    "accounts": ("gateway.cli.accounts", "accounts"),
    "token": ("gateway.cli.token", "token"),
    "export": ("gateway.cli.export", "export"),
    "check": ("gateway.cli.check", "check"),
    "privacy": ("gateway.cli.privacy", "privacy"),
    "local": ("gateway.cli.local", "local"),
}


class Commands(click.Group):
    """The commands of the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - click's signature
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        command = getattr(import_module(module), name)
        assert isinstance(command, click.Command)
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(version("codegrex-gateway"), prog_name="codegrex-gateway", message="%(prog)s %(version)s")
def cli() -> None:
    """The gateway between an AI IDE and its model providers: it meters exactly and keeps no content."""


def main(arguments: list[str] | None = None) -> Any:
    """The entry point. Whatever the environment says, no command hands out keys or trusts further authorities."""
    forget_tls()
    return cli.main(arguments, prog_name="codegrex-gateway")


if __name__ == "__main__":
    main()
