"""The page about metrics lists every series with its labels, and no other."""

import re
from pathlib import Path

from gateway.telemetry.instruments import Instruments

PAGE = Path(__file__).parents[3] / "docs/operations/metrics.md"


def test_the_page_lists_every_series_with_its_labels() -> None:
    listed = re.findall(r"^\| `(codegrex_\w+)(?:\{([a-z,]+)\})?` \|", PAGE.read_text(), re.MULTILINE)
    assert len(listed) == len(dict(listed))
    assert {name: tuple(filter(None, labels.split(","))) for name, labels in listed} == Instruments([]).registry.names()
