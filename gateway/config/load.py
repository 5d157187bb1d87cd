"""Reads ``gateway.toml`` into a `Config`, or reports all of its faults.

Everything that can be decided from the file, the environment and the files it names is decided
here, so that no other code checks a setting again. Nothing is written and nothing is connected to.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

from gateway.config import Config, ConfigError
from gateway.config.billing import read_billing
from gateway.config.hardening import read_hardening
from gateway.config.identity import read_identity
from gateway.config.internal import read_internal
from gateway.config.log import read_log
from gateway.config.models import read_models
from gateway.config.oauth import read_oauth
from gateway.config.policy import read_policy
from gateway.config.portal import read_portal
from gateway.config.providers import read_providers
from gateway.config.reader import Faults, Section
from gateway.config.retention import read_retention
from gateway.config.routing import read_routing
from gateway.config.server import read_server
from gateway.config.store import read_store
from gateway.config.stripe import read_stripe
from gateway.config.supabase import read_supabase
from gateway.config.telemetry import read_telemetry
from gateway.config.tiers import read_tiers
from gateway.config.webhooks import read_webhooks
from gateway.variables import GIVEN


def load(path: Path, env: Mapping[str, str] | None = None, *, need_keys: bool = True) -> Config:
    """Read and check the file.

    Args:
        path: The file.
        env: For ``env:NAME``; the process's own by default.
        need_keys: False leaves out the keys of providers and services that are not at hand, for work on
            the store only.

    Raises:
        ConfigError: With every fault of the file, each naming its key and how to fix it.
    """
    try:
        with path.open("rb") as file:
            table = tomllib.load(file, parse_float=Decimal)
    except FileNotFoundError:
        raise ConfigError((f"{path}: does not exist; copy gateway.example.toml and edit it",)) from None
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise ConfigError((f"{path}: cannot be read ({reason}); fix the file or its permissions",)) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigError((f"{path}: is not valid TOML ({error}); fix that line",)) from None
    return read(table, path, GIVEN if env is None else env, need_keys=need_keys)


def read(
    table: Mapping[str, object],
    path: Path,
    env: Mapping[str, str],
    *,
    need_keys: bool = True,
    kind: type[Section] = Section,
) -> Config:
    """Check a decoded file; ``path`` is where relative paths start from. Raises `ConfigError`.

    ``kind`` reads each table: one that notes what is asked for writes the reference of all keys.
    """
    faults = Faults()
    path = path.absolute()
    root = kind(table, "", faults, env, path.parent)
    server = read_server(root)
    internal = read_internal(root, needed=need_keys)
    store = read_store(root)
    providers = read_providers(root, need_keys=need_keys)
    tiers = read_tiers(root)
    billing = read_billing(root)
    models = read_models(root, providers, tiers, billing)
    policy = read_policy(root, providers)
    identity = read_identity(root)
    oauth = read_oauth(root)
    retention = read_retention(root)
    routing = read_routing(root)
    webhooks = read_webhooks(root, needed=need_keys)
    stripe = read_stripe(root, needed=need_keys)
    log = read_log(root)
    hardening = read_hardening(root)
    supabase = read_supabase(root)
    portal = read_portal(root, supabase)
    telemetry = read_telemetry(root, needed=need_keys)
    root.close()
    if faults.lines:
        raise ConfigError(tuple(faults.lines))
    return Config(
        path=path,
        providers=providers,
        server=server,
        internal=internal,
        store=store,
        models=models,
        tiers=tiers,
        billing=billing,
        policy=policy,
        identity=identity,
        portal=portal,
        oauth=oauth,
        retention=retention,
        routing=routing,
        webhooks=webhooks,
        stripe=stripe,
        log=log,
        hardening=hardening,
        supabase=supabase,
        telemetry=telemetry,
    )


def check_data_dir(data_dir: Path) -> None:
    """Not a part of reading: a file may be checked for another machine than this one. Nothing is written.

    Raises:
        ConfigError: The folder is not there and cannot be made, or cannot be written by this user.
    """
    at = data_dir.absolute()
    while not os.path.lexists(at) and at != at.parent:
        at = at.parent
    if not at.is_dir():
        wrong, fix = f"{at} is not a folder", "choose another folder"
    elif not os.access(at, os.W_OK | os.X_OK):
        wrong, fix = f"{at} cannot be written by this user", "fix its permissions or choose another folder"
    else:
        return
    raise ConfigError((f"server.data_dir: {wrong}; {fix}",))
