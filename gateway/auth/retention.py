"""For how long a provider may keep a request: the limits of all sources, and the targets within them. Pure.

Rules:

1. The lowest limit wins: of configuration, organisation, account, user, session and request. ``None`` means no
   limit. A stored limit that cannot be read is 0, the strictest.
2. A target is within a limit if the retention of its model there (`gateway.catalog.catalog.CatalogTarget.handling`) is
   not longer. This applies to the first target, to failover, and to further models that a request names.
3. 0 means not at all: it also excludes tools that keep something at the provider, and prompt caching for hours.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from gateway.auth.regions import Place
from gateway.errors import InvalidRequest, RetentionUnavailable
from metering.numbers import whole_number

RETENTION_HEADER = "x-max-retention-days"

_HEADER = (
    f"{RETENTION_HEADER} must be a whole number of days, from 0: send 0 to allow only providers that keep nothing, or "
    "leave the header out."
)


def strictest(*limits: int | None) -> int | None:
    """The lowest of the limits that are stated, in days; ``None`` if none is."""
    return min((limit for limit in limits if limit is not None), default=None)


def asked(values: Sequence[str]) -> int | None:
    """The limit that a request states in its headers, if it does.

    Raises:
        InvalidRequest: A value is no whole number.
    """
    limits = [whole_number(value) for value in values]
    if None in limits:
        raise InvalidRequest(_HEADER, param=RETENTION_HEADER)
    return strictest(*limits)


def stored(text: str) -> int | None:
    """The limit in a field of the store; empty is none."""
    return (whole_number(text) or 0) if text else None


def within(targets: Iterable[Place], limit: int | None, param: str | None = None) -> tuple[Place, ...]:
    """The targets, one at least, that keep nothing for longer than the limit, in order.

    ``param`` is the member of the request that names their model, for the error.

    Raises:
        RetentionUnavailable: None is left.
    """
    every = tuple(targets)
    if limit is None:
        return every
    left = tuple(target for target in every if target.handling.retention_days <= limit)
    if not left:
        least = min(target.handling.retention_days for target in every)
        raise RetentionUnavailable(limit=limit, least=least, param=param)
    return left
