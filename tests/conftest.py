"""A run ends with what it did not test (`tests.untested`), a run of every test with the privacy report as well
(`tests.privacy.plugin`). `tests.scheduling` says which worker runs what."""

import hypothesis
import pytest

from tests import scheduling, untested
from tests.privacy import plugin

hypothesis.settings.register_profile("untimed", deadline=None)  # a test may need no quiet machine
hypothesis.settings.load_profile("untimed")


def pytest_configure(config: pytest.Config) -> None:
    plugin.pytest_configure(config)
    untested.pytest_configure(config)
    config.pluginmanager.register(scheduling, "scheduling")
