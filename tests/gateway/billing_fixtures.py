"""Accounts and records for the tests of what services and operators do; import what is used."""

from __future__ import annotations

import pytest

from gateway.accounts.administration import Administration
from gateway.auth.identity import identity_keys
from metering.accounts.identity_map import Accounts
from tests.ledger_fixtures import usage_record

KEY = b"k" * 32
USER = "ann@example.com"


@pytest.fixture
def accounts(store):
    return Accounts(store, identity_keys(KEY))


@pytest.fixture
def erased():
    return []


@pytest.fixture
def admin(store, ledger, accounts, erased):
    return Administration(store, ledger, accounts, KEY, on_erased=erased.append)


def record(rid, pid, *, charge=5, **more):
    return usage_record(rid, pid, charge=charge, cost=charge, **more)
