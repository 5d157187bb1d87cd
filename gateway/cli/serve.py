"""``serve`` and ``dev``: start the gateway."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.options import OperatorError, config_option, load_config
from gateway.config import ConfigError, HardeningMode
from gateway.hardening.environment import restart_clean


@click.command()
@config_option
@click.option("--workers", type=click.IntRange(1, 1_024), help="Processes on the port; else server.workers.")
def serve(config_path: Path, workers: int | None) -> None:
    """Serve until SIGTERM, which lets open streams finish."""
    config = load_config(config_path)
    if config.hardening.mode is HardeningMode.ENFORCE:
        restart_clean(sys.argv[1:])
    from gateway.process.supervisor import run  # noqa: PLC0415 - a configuration's faults come first, and at once

    try:
        sys.exit(run(config_path, config, workers))
    except ConfigError as error:
        raise OperatorError(*error.faults) from None


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0 takes any free one.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/dev"),
    show_default=True,
    help="Where the development store and keys live.",
)
def dev(port: int, data_dir: Path) -> None:
    """Try it out: serve with a session token and lines to paste.

    Routes to the providers whose keys are in the environment, else to the provider simulator.
    """
    from gateway.cli.dev import run  # noqa: PLC0415 - `serve` does without it

    try:
        sys.exit(run(port=port, data_dir=data_dir))
    except ConfigError as error:
        raise OperatorError(*error.faults) from None
