"""The report draws what the results say, and needs nothing but itself."""

import copy
import xml.etree.ElementTree as ET

import pytest

from benchmarks.report.figures import figures
from benchmarks.report.page import page
from benchmarks.report.svg import draw

PERCENTILES = {"p50": 1.0, "p90": 2.0, "p95": 3.0, "p99": 4.0, "p99.9": 50.0}


def measurement(contender, workload, cpu):
    load = {"events": 1000, "completed": 10, "first_byte_ms": PERCENTILES}
    memory = {"resident": 50_000_000, "proportional": 40_000_000}
    return {"contender": contender, "workload": workload, "round": 0, "cpu": cpu, "load": load, "memory": memory}


RESULT = {
    "machine": {"cpus": 2, "system": "Linux <test>", "python": "3.11"},
    "rounds": 3,
    "seconds": 12.0,
    "forced": False,
    "busy_before": 0.01,
    "skipped": {"litellm": "litellm is not installed"},
    "rows": [
        {
            "name": "CPU per chunk & more",
            "unit": "us",
            "limit": 1.4,
            "goal": 1.25,
            "values": {"nginx": 12.0, "gateway": 15.6},
            "ratios": [1.2, 1.3, 1.35],
            "figure": 1.3,
            "verdict": "met",
            "note": "",
        },
    ],
    "measurements": [
        measurement(name, workload, cpu)
        for name, cpu in (("nginx", 12_000_000), ("gateway", 15_600_000))
        for workload in ("starts-200", "scale-10", "scale-200", "scale-5000")
    ],
}


def test_figures_take_their_points_from_the_measurements():
    made = {figure.name: figure for figure in figures(RESULT)}
    assert made["cpu-by-streams"].labels == ("10", "200", "5,000")
    assert made["cpu-by-streams"].series["gateway"] == [15.6, 15.6, 15.6]
    assert made["first-byte"].series["nginx"] == [1.0, 2.0, 3.0, 4.0, 50.0]
    assert made["memory-by-streams"].series["nginx"] == [50.0, 50.0, 50.0]
    assert made["cpu-per-chunk-more"].series == {"gateway": [15.6], "nginx": [12.0]}


@pytest.mark.parametrize("index", range(4))
def test_charts_are_well_formed(index):
    chart = ET.fromstring(draw(figures(RESULT)[index]))
    assert chart.tag.endswith("svg")
    text = "".join(chart.itertext())
    assert "gateway" in text
    assert "nginx" in text


def test_the_page_stands_alone():
    html = page(RESULT)
    for outside in ("<script", "<link", "src=", "url(", "@import"):
        assert outside not in html
    assert "1.30 x (1.20-1.35)" in html
    assert "Linux &lt;test&gt;" in html
    assert "CPU per chunk &amp; more" in html
    assert "litellm is not installed" in html


def test_without_measurements_there_is_still_a_page():
    empty = copy.deepcopy(RESULT) | {"measurements": [], "rows": []}
    assert figures(empty) == []
    assert "<table>" in page(empty)
