"""The short form of the crash campaign: a few lines of the failure table, on real processes."""

import pytest

from benchmarks.crash.faults import POINTS
from benchmarks.crash.lines import LINES, Skipped
from benchmarks.crash.run import line, run


def test_every_point_between_accept_and_settle_has_a_line():
    assert {f"killed-{point}" for point in POINTS} <= LINES.keys()


async def test_workers_that_die_once_the_request_is_noted_leave_orphans_and_no_debt():
    found, more = await line("killed-sent", 30)
    assert (found.lost, found.doubled, found.wrong, found.held) == (0, 0, 0, 0)
    assert found.records >= found.reported + found.orphan
    assert more["exit"] == 0


async def test_a_store_that_is_away_at_settle_and_both_killed_lose_nothing():
    found, _ = await line("settle", 20)
    assert (found.answered, found.billed, found.records, found.reported) == (20, 20, 20, 20)
    assert found.good


async def test_a_failover_that_loses_a_second_is_made_good_from_the_spool():
    found, more = await line("failover", 90)
    assert more["keys_lost_by_the_store"] > 0
    assert found.good
    assert found.billed == found.records


async def test_a_full_disk_refuses_and_drops_nothing():
    try:
        found, more = await line("disk", 90)
    except Skipped as reason:
        pytest.skip(str(reason))
    assert found.good
    assert more["refused"] > 0
    assert (more["streams_cut"], more["refused_after"]) == (0, 0)
    assert found.billed == found.records == 90 - more["refused"]


def test_a_line_prints_its_row_and_the_result_is_json(tmp_path, capsys):
    assert run(["old"], requests=1, out=tmp_path / "crash.json")
    assert "a settlement older than 34 days" in capsys.readouterr().out
    assert '"dead_letters": 1' in (tmp_path / "crash.json").read_text()
