"""One replay for all tests that look at what came of it."""

from __future__ import annotations

import asyncio

import pytest

from tests.corpus.recordings import CORPUS, NO_CORPUS, served
from tests.corpus.replay import Replayed, replay


@pytest.fixture(scope="session")
def replayed(tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Every served recording: some fifteen seconds, so that the core subset alone is not worth a mode."""
    if not CORPUS.exists():
        pytest.skip(NO_CORPUS)
    return asyncio.run(replay(tmp_path_factory.mktemp("replay"), served()))
