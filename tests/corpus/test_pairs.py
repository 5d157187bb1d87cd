"""The report of pairs and features (`tests.corpus.pairs`), of some recordings."""

from __future__ import annotations

import pytest

from tests.corpus.pairs import FAILED, PAIRS, table, tally
from tests.corpus.recordings import CORPUS, NO_CORPUS

pytestmark = pytest.mark.skipif(not CORPUS.exists(), reason=NO_CORPUS)


def test_the_report_has_a_cell_for_each_pair_and_nothing_fails() -> None:
    found = tally(150)
    assert not [key for key in found if key[2] == FAILED]
    heading, *rows = table(found)
    assert heading.split() == PAIRS
    assert len({row[:40] for row in rows}) == len(rows) > 20
    assert sum(count for (feature, _, _), count in found.items() if feature == "request: any") > 200
