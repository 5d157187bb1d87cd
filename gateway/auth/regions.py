"""Where requests of a session may be processed, and whether an answer says that they were not. Pure.

Rules:

1. A request that is pinned to regions (`gateway.auth.policy` joins who pins it) reaches only providers that
   the operator states to process there, the fallbacks too. No other region is a substitute:
   ``global`` is no part of the EU, and the operator's own machines (``local``) are wherever they are.
2. What is no region's name pins to nothing that exists, so that a misspelt pin refuses and never widens.
3. A request's own word (``inference_geo``) may not contradict the pin, nor what the operator states of the provider.
   Where a provider takes such a word, a pinned request gets it.
4. An answer is astray when it states a place that is not the promised one. One that states nothing,
   or ``global``, says nothing: it is the operator's statement that holds then.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from gateway.config import Region
from gateway.errors import RegionUnavailable
from metering.usage import Geography

UNPINNED = frozenset({"", Region.GLOBAL.value})
_PLACES = {Geography.US: Region.US, Geography.EU: Region.EU}


class _Provider(Protocol):
    @property
    def region(self) -> Region: ...


class _Located(Protocol):
    @property
    def provider(self) -> _Provider: ...


Place = TypeVar("Place", bound=_Located)


def within(targets: Iterable[Place], regions: frozenset[str] | None) -> tuple[Place, ...]:
    """The targets that a request pinned to these regions may use, in order; all where it is not pinned.

    Raises:
        RegionUnavailable: None is left; where the pins have no region in common (the empty set) there never is one.
    """
    if regions is None:
        return tuple(targets)
    left = tuple(target for target in targets if target.provider.region.value in regions)
    if not left:
        raise RegionUnavailable
    return left


def consistent(targets: Iterable[Place], asked: str | None, regions: frozenset[str] | None) -> tuple[Place, ...]:
    """The targets of a request that itself asks for a region, without those that are stated to be elsewhere.

    Args:
        targets: Those that its pins allow.
        asked: The request's own word, in lower case, or ``None``.
        regions: What it is pinned to; ``None`` is anywhere.

    Raises:
        RegionUnavailable: None is left, or the request contradicts its pins.
    """
    if asked is None:
        return tuple(targets)
    left = tuple(target for target in targets if target.provider.region.value in {asked, *UNPINNED, Region.LOCAL.value})
    if not left or (regions is not None and asked not in regions):
        raise RegionUnavailable(param="inference_geo")
    return left


def promised(session: str, provider: Region) -> Region | None:
    """The region that an answer must come from: the session's, else the provider's; ``None`` for anywhere."""
    if session.lower() not in UNPINNED:
        return next((region for region in Region if region.value == session.lower()), None)
    return None if provider in {Region.GLOBAL, Region.LOCAL} else provider


def astray(stated: Geography, promise: Region | None) -> bool:
    """Whether an answer that states where it was made breaks the promise."""
    if promise is None or stated is Geography.GLOBAL:
        return False
    return _PLACES.get(stated) is not promise
