"""Accounts and records for the tests of what services and operators do; import what is used."""

from __future__ import annotations

import pytest

from gateway.accounts.administration import Administration
from gateway.accounts.webhooks import WebhookEvent, Webhooks
from gateway.auth.identity import identity_keys
from metering.accounts.identity_map import Accounts
from tests.ledger_fixtures import usage_record

KEY = b"k" * 32
USER = "ann@example.com"


class Told(Webhooks):
    """Keeps the accounts of the events instead of delivering them."""

    def __init__(self, told):
        super().__init__()
        self._told = told

    def emit(self, event, pid, **_amounts):
        assert event is WebhookEvent.ACCOUNT_ERASED
        self._told.append(pid)


async def erase(admin, user=USER, *, actor="cli"):
    """As an entrance does it: `None` where there is no account."""
    pid = await admin.accounts.pid_of(user)
    return None if pid is None else await admin.erase(pid, admin.accounts.names(user), actor=actor)


@pytest.fixture
def accounts(store):
    return Accounts(store, identity_keys(KEY))


@pytest.fixture
def erased():
    return []


@pytest.fixture
def admin(store, ledger, accounts, erased):
    return Administration(store, ledger, accounts, KEY, webhooks=Told(erased))


def record(rid, pid, *, charge=5, **more):
    return usage_record(rid, pid, charge=charge, cost=charge, **more)
