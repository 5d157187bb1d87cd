"""``export``: sends the charges since the last run to a Stripe meter. Of each consumer, run one at a time."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click

from gateway.accounts.opening import opened
from gateway.cli.examples import examples
from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json, write_table
from gateway.cli.store import run
from gateway.config import Config
from metering import keys
from metering.reading.consumer import BillingReader
from metering.store.epoch import Epoch
from metering.store.store import Store
from metering.stripe import set_aside
from metering.stripe.export import GROUP, PATIENCE, Exported, StripeExport, StripeMisconfigured
from metering.stripe.meter import StripeUnreachable, stripe_meter
from metering.stripe.set_aside import SetAside

_consumer_option = click.option(
    "--consumer",
    default="timer",
    show_default=True,
    help="This run's name; runs at the same time need different names.",
)


@click.group(epilog=examples("export stripe --config gateway.toml"))
def export() -> None:
    """Send records to other systems."""


@export.command(epilog=examples("export stripe --config gateway.toml", "export stripe --consumer stripe-eu --json"))
@config_option
@_consumer_option
@json_option
def stripe(config_path: Path, consumer: str, as_json: bool) -> None:
    """Send new charges to a Stripe meter, in micro-credits.

    The exit code is 1 if the operator must look at some of them.
    """
    if not keys.is_id(consumer):
        raise click.BadParameter("use letters, digits, - and _", param_hint="--consumer")
    _report(run(_export(load_config(config_path, need_keys=False), consumer)), as_json=as_json)


@export.command("stripe-refused", epilog=examples("export stripe-refused --json"))
@config_option
@json_option
def stripe_refused(config_path: Path, as_json: bool) -> None:
    """List the charges that Stripe refused.

    Stripe refused them while it accepted other charges of the same run.
    """
    rows = [
        {"rid": refused.charge.rid, "pid": refused.charge.pid, "charge": refused.charge.charge, "at": refused.at}
        for refused in run(_refused(load_config(config_path, need_keys=False)))
    ]
    if as_json:
        for row in rows:
            write_json(row)
    else:
        write_table("refused", ("rid", "pid", "charge", "at"), [tuple(row.values()) for row in rows])


@export.command("stripe-again", epilog=examples("export stripe-again RID", "export stripe-again --all"))
@config_option
@click.argument("rids", nargs=-1)
@click.option("--all", "everything", is_flag=True, help="Send every charge that stripe-refused lists.")
@json_option
def stripe_again(config_path: Path, rids: tuple[str, ...], everything: bool, as_json: bool) -> None:
    """Send refused charges again, by their request ids."""
    if bool(rids) == everything:
        raise click.UsageError("name request ids, or use --all")
    _report(run(_again(load_config(config_path, need_keys=False), frozenset(rids))), as_json=as_json)


def _report(done: Exported, *, as_json: bool) -> None:
    counts: dict[str, Any] = asdict(done)
    named = counts["rids"]
    if as_json:
        write_json(counts)
    else:
        for name, count in counts.items():
            if name != "rids":
                click.echo(f"{name:<12} {count}")
        for kind, rids in named.items():
            write_table(kind, ("rid",), [(rid,) for rid in rids])
    if bad := [name for name in ("no_customer", "too_old", "refused", "uncertain") if counts[name]]:
        raise OperatorError(
            f"look at the records listed above ({', '.join(bad)}); docs/billing.md, Stripe, says what to do"
        )


async def _export(config: Config, consumer: str) -> Exported:
    async with _exporter(config, consumer) as exporter:
        return await exporter.run()


async def _again(config: Config, rids: frozenset[str]) -> Exported:
    async with _exporter(config, "again") as exporter:
        return await exporter.again(rids)


async def _refused(config: Config) -> list[SetAside]:
    async with opened(config) as at:
        seconds, _ = await at.store.client.time()
        return await set_aside.listed(at.store, int(seconds))


@asynccontextmanager
async def _exporter(config: Config, consumer: str) -> AsyncIterator[StripeExport]:
    stated = config.stripe
    if stated is None:
        raise OperatorError(
            "stripe.api_key: is missing; add a [stripe] table, and set the environment variable that its api_key names"
        )
    try:
        send = stripe_meter(stated.api_key, event_name=stated.event_name, base_url=stated.base_url)
    except ImportError:
        raise OperatorError(
            "the package stripe is not installed; install it with: pip install 'codegrex-gateway[stripe]'"
        ) from None
    async with opened(config) as at:
        try:
            yield StripeExport(at.store, await _reader(at.store, consumer), send)
        except StripeMisconfigured as fault:
            named = ", ".join(fault.rids)
            raise OperatorError(
                f"stripe.event_name: Stripe refused every event (tried: {named}); nothing was sent, and a later run "
                f"sends everything. Correct the meter's name or its settings. Stripe says: {fault.said}"
            ) from None
        except StripeUnreachable:
            raise OperatorError(
                "stripe.base_url: Stripe does not answer or rejects the key; the next run sends what is left"
            ) from None


async def _reader(store: Store, consumer: str) -> BillingReader:
    epoch = Epoch(store)
    await epoch.look()
    reader = BillingReader(store, epoch, group=GROUP, consumer=consumer, most_deliveries=PATIENCE)
    await reader.open()
    return reader
