"""``switches``: what the gateway sends nothing to, until it is switched on again.

Each change is noted in the audit stream, as ``cli``.
"""

from __future__ import annotations

import re
from pathlib import Path

import click

from gateway.accounts.opening import opened
from gateway.auth.switches import Switchable, SwitchedOff, read_switches, switchable
from gateway.catalog.catalog import load as load_catalog
from gateway.cli.examples import examples
from gateway.cli.options import (
    OperatorError,
    config_option,
    json_option,
    load_config,
    local_time,
    write_json,
    write_table,
)
from gateway.cli.store import run
from gateway.config import Config
from metering.accounts.audit import Actor

_KEY = re.compile(r"(?P<provider>[^:]+):[1-9][0-9]{0,3}")  # the keys themselves may not be at hand here

_what = click.argument("what", metavar="provider|model|key", type=click.Choice([what.value for what in Switchable]))
_name = click.argument("name")


@click.group(epilog=examples("switches list", "switches off provider openai", "switches on provider openai"))
def switches() -> None:
    """Switch providers, models and keys off and on."""


@switches.command("list", epilog=examples("switches list", "switches list --json"))
@config_option
@json_option
def list_(config_path: Path, as_json: bool) -> None:
    """List what is switched off."""
    found = run(_list(load_config(config_path, need_keys=False)))
    if as_json:
        for one in found:
            write_json({"what": one.what.value, "name": one.name, "since_ms": one.since_ms})
        return
    write_table(
        f"{len(found)} switched off",
        ("what", "name", "since"),
        ((one.what.value, one.name, local_time(one.since_ms)) for one in found),
    )


async def _list(config: Config) -> list[SwitchedOff]:
    async with opened(config) as at:
        return await read_switches(at.store.client)


@switches.command(epilog=examples("switches off provider openai", "switches off key openai:2"))
@config_option
@_what
@_name
def off(config_path: Path, what: str, name: str) -> None:
    """Switch a provider, a model or a key off.

    Within seconds, no worker sends a request there; running answers continue. A key is named PROVIDER:POSITION, counted
    from 1 in `api_keys`.
    """
    config = load_config(config_path, need_keys=False)
    kind = Switchable(what)
    key = _KEY.fullmatch(name)
    known = switchable(config, [model.name for model in load_catalog(config).models])
    if (kind is Switchable.KEY and (key is None or key["provider"] not in config.providers)) or (
        kind is not Switchable.KEY and (kind, name) not in known
    ):
        raise OperatorError(f"{what}: the configuration has none of this name; see: codegrex-gateway check")
    run(_switch(config, kind, name, off=True))
    click.echo("off")


@switches.command(epilog=examples("switches on provider openai", "switches on key openai:2"))
@config_option
@_what
@_name
def on(config_path: Path, what: str, name: str) -> None:
    """Switch a provider, a model or a key on again."""
    run(_switch(load_config(config_path, need_keys=False), Switchable(what), name, off=False))
    click.echo("on")


async def _switch(config: Config, what: Switchable, name: str, *, off: bool) -> None:
    async with opened(config) as at:
        await at.administration().switch(what, name, off=off, actor=Actor.CLI)
