"""``[retention]``: how long usage records are kept."""

from __future__ import annotations

from dataclasses import dataclass

from gateway.config.reader import Section


@dataclass(frozen=True, slots=True)
class RetentionConfig:
    """Days that usage records are kept; ``longest_days`` is where waiting for billing ends."""

    days: int = 90
    longest_days: int = 120


def read_retention(root: Section) -> RetentionConfig:
    section, usual = root.table("retention"), RetentionConfig()
    days = section.integer("days", usual.days, 1, 3_650)
    longest = section.integer("longest_days", max(usual.longest_days, days), 1, 3_650)
    section.close()
    if longest < days:
        section.fault("longest_days", "is below days", "raise it to that at least")
    return RetentionConfig(days=days, longest_days=longest)
