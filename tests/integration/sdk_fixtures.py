"""The fixtures of the conformance modules, which name this one in ``pytest_plugins``: one set a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.integration.sdk_stack import Account, Stack, make_gateway, open_store


@pytest.fixture(scope="session")
def sdk_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with (
        SimulatorProcess(record=True) as sim,
        make_gateway(tmp_path_factory.mktemp("sdk"), sim) as gateway,
        open_store(gateway) as store,
    ):
        made = gateway.session("conformance", 100_000)
        yield Stack(sim, gateway, store, Account(made["access_token"], made["pid"], store))


@pytest.fixture
def stack(sdk_stack: Stack) -> Stack:
    """The shared processes, with the simulator's bills and the account's records at zero."""
    sdk_stack.sim.reset()
    sdk_stack.account.skip()
    return sdk_stack
