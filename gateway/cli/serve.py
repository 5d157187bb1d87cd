"""``serve``: start the gateway."""

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
    from gateway.process.supervisor import run  # noqa: PLC0415 - a configuration's faults are told first, and at once

    try:
        sys.exit(run(config_path, config, workers))
    except ConfigError as error:
        raise OperatorError(*error.faults) from None
