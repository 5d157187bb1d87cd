"""``export stripe``: sends what was charged since the last run. Run it from a timer, one at a time a consumer."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import click

from gateway.accounts.opening import opened
from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json
from gateway.cli.store import run
from gateway.config import Config
from metering import keys
from metering.reading.consumer import BillingReader
from metering.store.epoch import Epoch
from metering.stripe.export import GROUP, PATIENCE, Exported, StripeExport, StripeUnreachable, stripe_meter


@click.group()
def export() -> None:
    """Hands records on to other systems."""


@export.command()
@config_option
@click.option("--consumer", default="timer", show_default=True, help="Another name for each that runs at once.")
@json_option
def stripe(config_path: Path, consumer: str, as_json: bool) -> None:
    """Send new charges to a Stripe meter, in micro-credits. Exit code 1 where something needs your eyes."""
    if not keys.is_id(consumer):
        raise click.BadParameter("use letters, digits, - and _", param_hint="--consumer")
    done = asdict(run(_export(load_config(config_path, need_keys=False), consumer)))
    if as_json:
        write_json(done)
    else:
        for name, count in done.items():
            click.echo(f"{name:<12} {count}")
    if bad := [name for name in ("no_customer", "too_old", "refused", "uncertain") if done[name]]:
        raise OperatorError(f"some records need your eyes ({', '.join(bad)}); see docs/billing.md")


async def _export(config: Config, consumer: str) -> Exported:
    stated = config.stripe
    if stated is None:
        raise OperatorError("stripe.api_key: is missing; add [stripe] and export the variable that it names")
    try:
        send = stripe_meter(stated.api_key, event_name=stated.event_name, base_url=stated.base_url)
    except ImportError:
        raise OperatorError(
            "the package stripe is not installed; install codegrex-gateway with the extra stripe"
        ) from None
    async with opened(config) as at:
        epoch = Epoch(at.store)
        await epoch.look()
        reader = BillingReader(at.store, epoch, group=GROUP, consumer=consumer, most_deliveries=PATIENCE)
        await reader.open()
        try:
            return await StripeExport(at.store, reader, send).run()
        except StripeUnreachable:
            raise OperatorError(
                "stripe.base_url: Stripe does not answer or rejects the key; the next run goes on"
            ) from None
