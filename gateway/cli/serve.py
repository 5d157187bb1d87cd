"""``serve``: start the gateway."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from gateway.cli.examples import examples
from gateway.cli.options import OperatorError, config_option, load_config
from gateway.config import ConfigError, HardeningMode
from gateway.hardening.environment import restart_clean


@click.command(epilog=examples("serve --config gateway.toml", "serve --config /etc/codegrex/gateway.toml --workers 4"))
@config_option
@click.option("--workers", type=click.IntRange(1, 1_024), help="Number of worker processes. Default: server.workers.")
def serve(config_path: Path, workers: int | None) -> None:
    """Serve until SIGTERM; open streams may finish."""
    config = load_config(config_path)
    if config.hardening.mode is HardeningMode.ENFORCE:
        restart_clean(sys.argv[1:], strict=True)
    from gateway.process.supervisor import run  # noqa: PLC0415 - a configuration's faults are told first, and at once

    try:
        sys.exit(run(config_path, config, workers))
    except ConfigError as error:
        raise OperatorError(*error.faults) from None
