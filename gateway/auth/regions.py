"""Where requests of a session may be processed, and whether an answer says that they were not. Pure.

Rules:

1. A request that is pinned to regions (`gateway.auth.policy` joins the pins) reaches only providers whose stated region
   is one of them, for its model and its fallbacks. No other region is a substitute: ``global`` is not a part of the EU,
   and the operator's machines (``local``) can be anywhere.
2. An unknown region name matches no provider, so that a misspelt pin refuses requests and never widens the choice.
3. A request's ``inference_geo`` may contradict neither the pin nor the operator's statement about the provider. If the
   provider supports it, the gateway sets it for a pinned request.
4. An answer is astray if it states a region other than the promised one. If it states nothing, or ``global``, the
   operator's statement counts.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol, TypeVar

from gateway.config import DataHandling, Region
from gateway.errors import RegionUnavailable
from metering.usage import Geography

UNPINNED = frozenset({"", Region.GLOBAL.value})
_PLACES = {Geography.US: Region.US, Geography.EU: Region.EU}


class Stated(Protocol):
    """What prompts can be sent to, and what becomes of them there."""

    @property
    def handling(self) -> DataHandling: ...


Place = TypeVar("Place", bound=Stated)


def within(targets: Iterable[Place], regions: frozenset[str] | None, param: str | None = None) -> tuple[Place, ...]:
    """The targets that a request pinned to these regions may use, in order; all of them if it is not pinned.

    ``param`` is the member of the request that names their model, for the error.

    Raises:
        RegionUnavailable: None is left; where the pins have no region in common (the empty set) there never is one.
    """
    if regions is None:
        return tuple(targets)
    left = tuple(target for target in targets if target.handling.region.value in regions)
    if not left:
        raise RegionUnavailable(param=param)
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
    left = tuple(target for target in targets if target.handling.region.value in {asked, *UNPINNED, Region.LOCAL.value})
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
