"""``check``: is the configuration right, and with ``--live``, do the keys and the store work?"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import click

from gateway.catalog import catalog, published
from gateway.catalog.catalog import Catalog
from gateway.cli.live import verify
from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json, write_table
from gateway.config import Config, ConfigError, ProviderConfig
from gateway.evidence.egress import egress
from gateway.evidence.statement import policy_of
from providers.wires import WIRES


@click.command()
@config_option
@click.option("--live", is_flag=True, help="Also ask each provider whether it takes our keys, and the store.")
@json_option
def check(config_path: Path, live: bool, as_json: bool) -> None:
    """Check the configuration; nothing is started and nothing written."""
    try:
        config = load_config(config_path)
        found = _catalog(config)
    except OperatorError as fault:
        if as_json:
            write_json({"valid": False, "faults": [_parts(line) for line in fault.lines]})
        raise
    if not as_json:
        _describe(config, found)
    if not live:
        if as_json:
            write_json(_summary(config, found))
        return

    results = verify(config)
    if as_json:
        live_results = [
            {"provider": result.provider, "key": result.key, "ok": result.ok, "message": result.message}
            for result in results
        ]
        write_json({**_summary(config, found), "live": live_results})
    else:
        rows = [(result.provider, result.key, result.message) for result in results]
        write_table("live", ("provider", "key", "answer"), rows)
    if not all(result.ok for result in results):
        sys.exit(OperatorError.exit_code)


def _catalog(config: Config) -> Catalog:
    """The catalog as the workers would see it, without a trace in the data directory."""
    with tempfile.TemporaryDirectory() as folder:
        elsewhere = replace(config, server=replace(config.server, data_dir=Path(folder)))
        try:
            published.prepare(elsewhere)
            return catalog.load(elsewhere)
        except ConfigError as error:
            raise OperatorError(*error.faults) from None


def _paths(provider: ProviderConfig) -> Iterator[tuple[str, str]]:
    """Each operation of a provider's API, and the URL that it is asked at."""
    for operation, wire in WIRES.items():
        if operation.family is provider.family:
            yield operation.value, provider.endpoint.url(wire.path("MODEL"))


def _parts(line: str) -> dict[str, str]:
    key, _, rest = line.partition(": ")
    wrong, _, mend = rest.rpartition("; ")
    return {"key": key, "wrong": wrong, "mend": mend}


def _summary(config: Config, found: Catalog) -> dict[str, object]:
    return {
        "valid": True,
        "faults": [],
        "providers": sorted(config.providers),
        "statements": policy_of(config)["providers"],
        "egress": [{"host": str(place), "for": place.for_, "prompts": place.prompts} for place in egress(config)],
        "paths": {name: dict(_paths(provider)) for name, provider in sorted(config.providers.items())},
        "models": len(found.models),
        "price_version": found.price_version,
    }


def _describe(config: Config, found: Catalog) -> None:
    write_table(
        "providers",
        ("provider", "speaks", "at", "keys", "keeps (days)", "trains", "region"),
        (
            (
                provider.name,
                provider.family.value,
                provider.endpoint,
                len(provider.api_keys),
                provider.retention_days,
                "yes" if provider.training else "no",
                provider.region.value,
            )
            for provider in config.providers.values()
        ),
    )
    write_table(
        "connects to",
        ("host", "named by", "gets prompts"),
        ((place, place.for_, "yes" if place.prompts else "no") for place in egress(config)),
    )
    write_table(
        "asks",
        ("provider", "operation", "url"),
        (
            (provider.name, operation, url)
            for provider in config.providers.values()
            for operation, url in _paths(provider)
        ),
    )
    markup = config.billing.markup
    paid = f"{float(markup):g} x cost" if markup != 1 else "cost"
    click.echo(
        f"{len(found.models)} models, prices {found.price_version}, "
        f"1 credit = {config.billing.credit_usd} USD, users pay {paid}"
    )
    click.echo("the configuration is valid")
