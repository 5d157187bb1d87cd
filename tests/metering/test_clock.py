from __future__ import annotations

import re
import time
from pathlib import Path

from metering.clock import DAY_MS, DAY_SECONDS, now_ms

ROOT = Path(__file__).parents[2]
# A day is written out, or the clock is divided, where `metering.clock` should be used.
AGAIN = re.compile(r"\btime_ns\(\) *//|\b86_400(_000)?\b|\b24 \* 3_?600")


def test_the_time_is_in_milliseconds() -> None:
    before = time.time()
    assert before - 0.001 <= now_ms() / 1_000 <= time.time()
    assert DAY_MS == DAY_SECONDS * 1_000 == 24 * 60 * 60 * 1_000


def test_no_other_module_works_out_the_time_or_a_day() -> None:
    sources = [path for folder in ("gateway", "metering") for path in (ROOT / folder).rglob("*.py")]
    assert [str(path.relative_to(ROOT)) for path in sources if AGAIN.search(path.read_text())] == ["metering/clock.py"]
