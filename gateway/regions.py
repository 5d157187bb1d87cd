"""Where a request may be processed: a pin to regions, held against what the operator states of each provider. Pure.

A pin is exact: a provider that processes anywhere (``global``) is in no region, and one in ``uk`` is not in ``eu``.
The targets are filtered before the first one is tried, so that a failover can't leave the region.
"""

from __future__ import annotations

from gateway.catalog import CatalogTarget
from gateway.errors import RegionUnavailable


def within(targets: tuple[CatalogTarget, ...], regions: frozenset[str] | None) -> tuple[CatalogTarget, ...]:
    """The targets inside these regions, in order; ``None`` is anywhere.

    Raises:
        RegionUnavailable: None is left; with no region in common (the empty set) there never is one.
    """
    if regions is None:
        return targets
    left = tuple(target for target in targets if target.provider.region in regions)
    if not left:
        raise RegionUnavailable
    return left
