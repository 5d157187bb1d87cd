"""``[routing]``: how often a request may be tried again."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.reader import Section


@dataclass(frozen=True, slots=True)
class RoutingConfig:
    """Of one worker.

    Attributes:
        retry_percent: Further attempts in a hundred requests, at most.
        retries_per_second: Further attempts that are made however few the requests are.
    """

    retry_percent: int = 20
    retries_per_second: int = 10


def read_routing(root: Section) -> RoutingConfig:
    section, usual = root.table("routing"), RoutingConfig()
    routing = RoutingConfig(
        retry_percent=section.integer("retry_percent", usual.retry_percent, 0, 1_000),
        retries_per_second=section.integer("retries_per_second", usual.retries_per_second, 0, 100_000),
    )
    section.close()
    return routing
