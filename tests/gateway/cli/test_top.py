"""``top`` without a gateway: its layout, and what it says when none answers."""

from __future__ import annotations

import socket

import pytest
from click.testing import CliRunner

from gateway.cli import cli
from gateway.cli.top import _cut, text_of
from gateway.telemetry.overview import Figure, Overview, OverviewRow, OverviewTable

TABLES = tuple(
    OverviewTable(title, ("now",), (OverviewRow("a row", (Figure(2, "2", alarm=alarm),)),))
    for title, alarm in (("first", False), ("second", True))
)


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (80, ["first  now    second  now", "----------    -----------", "a row    2    a row    2!"]),
        (20, ["first  now", "----------", "a row    2", "", "second  now", "-----------", "a row    2!"]),
    ],
)
def test_tables_stand_side_by_side_as_far_as_the_terminal_is_wide(width: int, lines: list[str]) -> None:
    text = text_of(Overview("1.2.3", 10.0, TABLES), width)
    head, empty, *rest = text.splitlines()
    assert (head, empty) == ("codegrex-gateway 1.2.3  rates and percentiles: the last 10 s", "")
    assert rest == lines


def test_a_table_that_is_too_wide_goes_on_below() -> None:
    columns = tuple(f"column {number}" for number in range(4))
    table = OverviewTable("title", columns, (OverviewRow("name", (Figure(1, "1"),) * 4),))
    lines = text_of(Overview("1.2.3", 10.0, (table,)), 30).splitlines()
    assert [line for line in lines if line.startswith("title")] == [
        "title  column 0  column 1",
        "title  column 2  column 3",
    ]
    assert max(map(len, lines[2:])) <= 30


def test_a_screen_is_never_overfull() -> None:
    text = "\n".join(map(str, range(50)))
    assert _cut(text, 51) == text
    cut = _cut(text, 24).splitlines()
    assert len(cut) == 23
    assert cut[-1] == "28 more lines: make the terminal larger, or use --once"


def test_without_a_gateway_it_says_how_to_name_one() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
    for wrong in (url, "http://127.0.0.1:port"):
        done = CliRunner().invoke(cli, ["top", "--once", "--url", wrong])
        assert done.exit_code == 1
        assert done.stderr == (
            f"error: no gateway answers at {wrong}: start it, or name its internal listener with --url\n"
        )
