"""``check``: is the configuration valid, and with ``--live``, do the keys and the store work?"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import click

from gateway.catalog import catalog, lifecycle, published
from gateway.catalog.catalog import Catalog
from gateway.catalog.naming import asks_before_caching
from gateway.catalog.retention import contradictions, first_of, out_of_limit
from gateway.cli.examples import examples
from gateway.cli.live import verify
from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json, write_table
from gateway.config import CacheIsolation, Config, ConfigError, DataHandling, ProviderConfig
from gateway.evidence.egress import egress
from gateway.evidence.statement import hosts_of, models_of, policy_of
from providers.tools.catalog import TOOLS_BY_ID
from providers.wires import WIRES


@click.command(epilog=examples("check --config gateway.toml", "check --live"))
@config_option
@click.option(
    "--live", is_flag=True, help="Also ask each provider whether it accepts its keys, and whether the store answers."
)
@json_option
def check(config_path: Path, live: bool, as_json: bool) -> None:
    """Check the configuration. Starts nothing and writes nothing."""
    try:
        config = load_config(config_path)
        found = open_catalog(config)
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


def open_catalog(config: Config) -> Catalog:
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
        if provider.serves(operation):
            yield operation.value, provider.url(wire, "MODEL")


def _parts(line: str) -> dict[str, str]:
    key, _, rest = line.partition(": ")
    wrong, _, fix = rest.rpartition("; ")
    return {"key": key, "wrong": wrong, "fix": fix}


def _summary(config: Config, found: Catalog) -> dict[str, object]:
    return {
        "valid": True,
        "faults": [],
        "providers": sorted(config.providers),
        "warnings": warnings_of(config, found),
        "statements": policy_of(config)["providers"],
        "handling": models_of(found),
        "egress": hosts_of(config),
        "paths": {name: dict(_paths(provider)) for name, provider in sorted(config.providers.items())},
        "models": len(found.models),
        "price_version": found.price_version,
    }


def _describe(config: Config, found: Catalog) -> None:
    write_table(
        "providers",
        ("provider", "API", "at", "keys", "keeps (days)", "trains", "region"),
        (
            (
                provider.name,
                provider.kind,
                provider.endpoint,
                provider.key_count,
                *_stated(provider.handling),
            )
            for provider in config.providers.values()
        ),
    )
    write_table(
        "models" if config.models else "models that differ from their provider",
        ("model", "provider", "its name there", "keeps (days)", "trains", "region"),
        (
            (model.name, target.provider.name, target.model, *_stated(target.handling))
            for model in found.models
            for target in model.targets
            if config.models or target.handling != target.provider.handling  # hundreds are published
        ),
    )
    write_table(
        "tools that run at the provider",
        ("name", "allowed"),
        ((name, "yes" if name in config.policy.server_tools else "no") for name in sorted(TOOLS_BY_ID)),
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
    for warning in warnings_of(config, found):
        click.echo(f"warning: {warning}")
    click.echo("the configuration is valid")


def warnings_of(config: Config, found: Catalog) -> list[str]:
    stated = found.models if config.models else ()  # of the published ones, lists of models leave out what has ended
    return [
        *contradictions(found),
        *out_of_limit(found, config.policy.max_retention_days),
        *_cached_by_themselves(config, found),
        *lifecycle.ends_of(stated, datetime.now(UTC).date()),
    ]


def _cached_by_themselves(config: Config, found: Catalog) -> Iterator[str]:
    """A sentence if nothing may be cached and models are served that do it unasked."""
    if config.policy.cache_isolation is not CacheIsolation.NONE:
        return
    names = [
        model.name
        for model in found.models
        if not any(asks_before_caching(target.provider.family, target.model) for target in model.targets)
    ]
    if names:
        yield (
            f"policy.cache_isolation: {len(names)} of {len(found.models)} models cache prompts unasked, so the gateway "
            f"refuses their chat completions and responses ({first_of(names)}); remove them, or add newer models"
        )


def _stated(handling: DataHandling) -> tuple[int, str, str]:
    return handling.retention_days, "yes" if handling.training else "no", handling.region.value
