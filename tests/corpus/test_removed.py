"""Recorded requests of real clients lose nothing but what was decided."""

from tests.corpus.removed import removed
from tests.corpus.test_requests import pytestmark  # noqa: F401 - the mark skips without a corpus


def test_what_recorded_requests_lose_is_decided_and_told():
    found, sent = removed()
    assert sent > 4_000
    assert 0 < sum(found.values()) < sent / 100
    assert not [one for one in found if "unknown" in one.what]
