"""``local``: the broker for the user's own machine. It imports nothing that holds a credential."""

from __future__ import annotations

import os
import shlex
import sys
from dataclasses import replace
from pathlib import Path

import click

from gateway.local.isolation import IsolationError
from gateway.local.settings import (
    Settings,
    SettingsError,
    addresses,
    check,
    from_table,
    read_file,
    refuse_credentials,
)


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), help="On 127.0.0.1; 8081 unless told, 0 takes any free one.")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="ADDRESS",
    help="An engine: 127.0.0.1:9000, [::1]:9000 or unix:/path. Repeatable.",
)
@click.option("--only-named", is_flag=True, help="Do not look at the engines' usual ports.")
@click.option("--allow-origin", "origins", multiple=True, metavar="ORIGIN", help="A web origin that may call.")
@click.option("--translate", is_flag=True, help="Translate Messages even for engines that have them.")
@click.option("--isolate", is_flag=True, help="Linux: run in a network namespace with nothing but a loopback.")
@click.option("--engine-command", metavar="COMMAND", help="With --isolate: the engine to start in there.")
@click.option(
    "--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="A settings file of local mode."
)
def local(
    port: int | None,
    engines: tuple[str, ...],
    origins: tuple[str, ...],
    engine_command: str | None,
    path: Path | None,
    *,
    only_named: bool,
    translate: bool,
    isolate: bool,
) -> None:
    """Serve the models of this machine's own engines, and reach nothing else."""
    try:
        table = read_file(path) if path is not None else {}
        refuse_credentials(os.environ, table)
        settings = from_table(table)
        settings = check(
            _with_options(
                settings,
                port,
                engines,
                origins,
                only_named=only_named,
                translate=translate,
                isolate=isolate,
                engine_command=engine_command,
            )
        )
        from gateway.local.broker import run  # noqa: PLC0415 - faults come first, and at once

        sys.exit(run(settings))
    except SettingsError as error:
        _fail(*error.faults)
    except IsolationError as error:
        _fail(str(error))


def _with_options(
    settings: Settings,
    port: int | None,
    engines: tuple[str, ...],
    origins: tuple[str, ...],
    *,
    only_named: bool,
    translate: bool,
    isolate: bool,
    engine_command: str | None,
) -> Settings:
    try:
        command = tuple(shlex.split(engine_command or ""))
    except ValueError:
        raise SettingsError("--engine-command has a quote that does not end.") from None
    return replace(
        settings,
        port=settings.port if port is None else port,
        engines=settings.engines + addresses(engines),
        usual_ports=settings.usual_ports and not only_named,
        origins=settings.origins | frozenset(origins),
        always_translate=settings.always_translate or translate,
        isolate=isolate,
        engine_command=command,
    )


def _fail(*lines: str) -> None:
    for line in lines:
        click.echo(f"error: {line}", err=True)
    sys.exit(1)
