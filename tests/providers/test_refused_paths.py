from __future__ import annotations

import pytest

from providers.dialect import Family
from providers.paths import PathFault, resolve
from providers.refused_paths import REFUSED
from tests.refused_requests import PRIVATE_PATHS, UNSUPPORTED_PATHS


def cases(table):
    return [pytest.param(family, line, id=line) for family, lines in table.items() for line in lines]


@pytest.mark.parametrize(("family", "line"), cases(PRIVATE_PATHS))
def test_what_is_kept_at_the_provider_is_refused_by_name(family, line):
    assert refused(family, line).code == "privacy_unsupported"


@pytest.mark.parametrize(("family", "line"), cases(UNSUPPORTED_PATHS))
def test_what_is_not_offered_is_refused_by_name(family, line):
    assert refused(family, line).code == "unsupported_feature"


def refused(family, line):
    method, path = line.split()
    fault = resolve(method, path, family if family is Family.ANTHROPIC else None)
    assert isinstance(fault, PathFault)
    assert (fault.status, fault.family) == (400, family)
    return fault


def test_every_refusal_says_the_mend():
    for table in REFUSED.values():
        for why in table.values():
            assert why.code in ("privacy_unsupported", "unsupported_feature")
            assert why.message.count(":") == 1
            assert why.message.endswith(".")
