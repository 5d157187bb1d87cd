"""Which worker of pytest-xdist runs which tests, and in which order.

Rules:

1. The tests of a file run in one worker, one after the other, so that what a module's fixtures start is started once.
   So do those of `TOGETHER`, which share what a session's fixtures start.
2. What takes long begins first (`FIRST`): nobody waits at the end for one worker's last file.
3. xdist's own groups are not used: ``--dist loadgroup`` writes them into node ids, which pytest 9.2 does not let it do,
   and so distributes each test by itself (pytest-dev/pytest-xdist issue 1386).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from xdist.scheduler import LoadScopeScheduling

FIRST = (
    "tests/privacy/test_hunt.py",
    "tests/corpus",
    "tests/benchmarks",
    "tests/integration/test_many_streams.py",
    "tests/privacy",
    "tests/agents",
    "tests/integration",
    "tests/gateway",
    "tests/contracts",
    "tests/metering",
)
TOGETHER = ("tests/corpus/", "tests/integration/test_sdk_")


def group(nodeid: str) -> str:
    """What runs in one worker with this test."""
    return next((start for start in TOGETHER if nodeid.startswith(start)), nodeid.partition("::")[0])


def rank(nodeid: str) -> int:
    """The place of a test's folder or file in `FIRST`; what is not there comes last."""
    return next((place for place, start in enumerate(FIRST) if nodeid.startswith(start)), len(FIRST))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        items.sort(key=lambda item: rank(item.nodeid))


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    from xdist.scheduler import LoadScopeScheduling

    class Files(LoadScopeScheduling):
        """Gives out whole files, in their order."""

        def _split_scope(self, nodeid: str) -> str:
            return group(nodeid)

        def mark_test_complete(self, node: Any, item_index: int, duration: float = 0) -> None:
            super().mark_test_complete(node, item_index, duration)
            scope = group(self.registered_collections[node][item_index])
            given = self.assigned_work.get(node, {})
            if all(given.get(scope, {False: False}).values()):
                del given[scope]  # it counts all that it ever gave, after each test

    config.option.loadscopereorder = False  # it would order them by their number of tests
    return Files(config, log)
