"""The command line: ``codegrex-gateway``.

Rules:

1. Exit codes: 0 success, 1 failure, 2 wrong usage. Each failure is one line on standard error that says how to fix it;
   an error that the operator can fix never causes a traceback.
2. ``--json`` writes one object per line to standard output, and nothing else.
3. A command's module is imported when that command runs, so that no command waits for another one's imports.
"""

from __future__ import annotations

import os
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

import click

from gateway import variables
from gateway.cli.examples import examples
from gateway.hardening.environment import restart_clean

COMMANDS = {
    "init": ("gateway.cli.init", "init"),
    "doctor": ("gateway.cli.doctor", "doctor"),
    "serve": ("gateway.cli.serve", "serve"),
    "dev": ("gateway.cli.dev", "dev"),
    "sessions": ("gateway.cli.sessions", "sessions"),
    "usage": ("gateway.cli.usage", "usage"),
    "accounts": ("gateway.cli.accounts", "accounts"),
    "switches": ("gateway.cli.switches", "switches"),
    "token": ("gateway.cli.token", "token"),
    "export": ("gateway.cli.export", "export"),
    "top": ("gateway.cli.top", "top"),
    "check": ("gateway.cli.check", "check"),
    "openapi": ("gateway.cli.openapi", "openapi"),
    "verify-install": ("gateway.cli.verify_install", "verify_install"),
    "privacy": ("gateway.cli.privacy", "privacy"),
    "local": ("gateway.cli.local", "local"),
}


# `serve` and `dev` restart themselves when they know which variables are needed. `local` and `token` run on users'
# machines and are not restarted.
_AS_STARTED = frozenset(("serve", "dev", "local", "token"))


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


@click.command(
    cls=Commands,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples("init", "check --config gateway.toml", "serve --config gateway.toml", "serve --help"),
)
@click.version_option(version("codegrex-gateway"), prog_name="codegrex-gateway", message="%(prog)s %(version)s")
def cli() -> None:
    """The gateway between an AI IDE and its model providers: it meters exactly and keeps no content."""


def main(arguments: list[str] | None = None) -> Any:
    """The entry point. Only environment variables of the allow-list have an effect on a command."""
    variables.narrow()
    if arguments is None and os.name == "posix" and _AS_STARTED.isdisjoint(sys.argv[1:2]):
        restart_clean(sys.argv[1:], strict=False)
    return cli.main(arguments, prog_name="codegrex-gateway")


if __name__ == "__main__":
    main()
