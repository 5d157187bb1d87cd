"""No caller gets an error while one of two targets is healthy; how much time that costs is printed, not judged."""

from __future__ import annotations

from benchmarks.failing.run import KINDS, Line, campaign, lines_of


def test_every_way_to_fail_is_a_line() -> None:
    lines = lines_of(KINDS, (1, 100))
    assert {line.kind for line in lines} == set(KINDS)
    assert len({line.name for line in lines}) == len(lines) == 2 * len(KINDS) - 1
    assert Line("down", 100) in lines


def test_while_one_target_is_healthy_no_caller_gets_an_error() -> None:
    lines = [*lines_of(KINDS, (100,)), Line("529", 10), Line("resets", 10)]
    found = campaign(lines, users=6, requests=4)
    for one in found:
        print(one)
    assert {one.line.name: one.errors for one in found} == {line.name: {} for line in (Line("healthy", 0), *lines)}
    assert found[0].attempts == 1.0
