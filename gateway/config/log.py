"""``[log]``: how much is logged, where, and how long it is kept."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from gateway.config.reader import Section
from gateway.names import LOG_LEVELS


@dataclass(frozen=True, slots=True)
class LogConfig:
    level: str = "info"
    file: Path | None = None  # None is standard error
    keep_days: int = 14  # of the log file, which is rotated daily


def read_log(root: Section) -> LogConfig:
    section, usual = root.table("log"), LogConfig()
    level = section.string("level", usual.level)
    if level not in LOG_LEVELS:
        section.fault("level", "is not a level", "write one of " + ", ".join(LOG_LEVELS))
    config = LogConfig(
        level=level,
        file=section.path("file"),
        keep_days=section.integer("keep_days", usual.keep_days, 1, 3_650),
    )
    section.close()
    return config
