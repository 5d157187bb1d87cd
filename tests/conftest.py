"""A run ends with what it did not test (`tests.untested`), a run of every test with the privacy report as well
(`tests.privacy.plugin`)."""

import pytest

from tests import untested
from tests.privacy import plugin


def pytest_configure(config: pytest.Config) -> None:
    plugin.pytest_configure(config)
    untested.pytest_configure(config)
