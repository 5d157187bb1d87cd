"""A run of every test ends with the privacy report, see `tests.privacy.plugin`."""

from tests.privacy.plugin import pytest_configure

__all__ = ["pytest_configure"]
