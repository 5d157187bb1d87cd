"""What a session may do: the policies of organisation, account, user, session and request, joined. Pure.

Rules:

1. The strictest wins, whichever source states it: sets are intersected, ``local`` beats ``cloud``, the higher minimum
   version beats the lower, the lower retention limit the higher. No source can loosen another one; a request's headers
   are one more source.
2. Fallback companies are the one permission: nobody has it who is not given it, and whoever states companies must name
   one for it to be allowed.
3. Empty states nothing. An unknown value counts as the strictest of its kind: an unknown mode is local, an
   unknown region has no provider, an app version that can't be read is older than every other.
4. `resolve` runs when a session is loaded, never for a request: its result is cached with the principal.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from gateway.auth.choice import NONE as NO_CHOICE
from gateway.auth.choice import Choice
from gateway.auth.entitlements import Entitlements
from gateway.auth.principal import Mode, Principal
from gateway.auth.regions import UNPINNED
from gateway.auth.retention import strictest
from gateway.errors import AppUpgradeRequired

if TYPE_CHECKING:
    from gateway.catalog.catalog import Model

MODE_HEADER = "x-processing-mode"
REGION_HEADER = "x-processing-region"

_VERSION = re.compile(r"v?([0-9]{1,9}(?:\.[0-9]{1,9}){0,5})(-[^+]+)?(?:\+.*)?")


def resolve(session: Principal, account: Entitlements, org: Entitlements, choice: Choice = NO_CHOICE) -> Principal:
    """The principal that a session's own record becomes.

    The session's tier, a copy made at its login, holds where neither account nor organisation states one. Where both
    do, both hold: a model must be in both plans, and of each limit the lower one counts.
    """
    stated = (account, org)
    tiers = tuple(dict.fromkeys(e.tier for e in stated if e.tier)) or (session.tier,)
    modes = [mode for mode in (account.mode, org.mode, choice.mode) if mode]
    required = _required(session.platform, stated)
    outdated = bool(required) and version_key(session.app_version) < version_key(required)
    return replace(
        session,
        tier=tiers[0],
        tiers=tiers,
        mode=Mode.LOCAL if is_local(session.mode, modes) else Mode.CLOUD,
        models=_models(stated),
        regions=narrow(None, (session.region, account.region, org.region, choice.region)),
        max_retention_days=strictest(
            session.max_retention_days, account.max_retention_days, org.max_retention_days, choice.max_retention_days
        ),
        fallback_companies=_companies(stated),
        required_app=required if outdated else "",
        org=account.org,
    )


def is_local(mode: str, asked: Iterable[str]) -> bool:
    """Whether prompts stay on the user's machine: anything but ``cloud``, said by anyone."""
    return mode != Mode.CLOUD or any(one != Mode.CLOUD for one in asked)


def narrow(regions: frozenset[str] | None, asked: Sequence[str]) -> frozenset[str] | None:
    """Regions that are left when these are asked for as well: ``None`` is anywhere, the empty set nowhere."""
    for name in asked:
        region = name.lower()
        if region not in UNPINNED:
            regions = frozenset((region,)) if regions is None else regions & {region}
    return regions


def allows(principal: Principal, model: Model) -> bool:
    """Whether a model is in the caller's plan and among the models that it may use."""
    if principal.models is not None and model.name not in principal.models:
        return False
    for tier in principal.tiers or (principal.tier,):  # noqa: SIM110 - half of the time of all(), for every request
        if not model.allows(tier):
            return False
    return True


def check_app(principal: Principal) -> None:
    """Raises `AppUpgradeRequired`, which says the lowest version that may be used."""
    if principal.required_app:
        raise AppUpgradeRequired(headers={"x-min-app-version": principal.required_app})


def version_key(text: str) -> tuple[tuple[int, ...], int]:
    """What versions are compared by: numbers as numbers (``1.10`` is above ``1.9``), ``1.2`` is ``1.2.0``.

    A pre-release (``1.2.0-beta``) is below its release, ``+build`` counts for nothing (Semantic Versioning, section
    11, except for the order of pre-releases). A text that is not a version is below every version.
    """
    match = _VERSION.fullmatch(text)
    if match is None:
        return (), -1
    numbers = [int(part) for part in match[1].split(".")]
    while numbers and not numbers[-1]:
        numbers.pop()
    return tuple(numbers), 0 if match[2] else 1


def _models(stated: Sequence[Entitlements]) -> frozenset[str] | None:
    models: frozenset[str] | None = None
    for one in stated:
        if one.models:
            models = one.models if models is None else models & one.models
    return models


def _companies(stated: Sequence[Entitlements]) -> frozenset[str]:
    lists = [one.fallback_companies for one in stated if one.fallback_companies is not None]
    return frozenset.intersection(*lists) if lists else frozenset()


def _required(platform: str, stated: Sequence[Entitlements]) -> str:
    """The highest of the minimum versions for a platform, or empty."""
    lowest = [one.min_app[platform] for one in stated if platform in one.min_app]
    return max(lowest, key=version_key, default="")
