"""What support does for a user, with the real command on an embedded store; no server runs."""

from __future__ import annotations

import csv
import json

import pytest

from tests.contracts.servers import Server
from tests.gateway.billing_fixtures import record
from tests.gateway.cli.commands import command, noted, on_store
from tests.ledger_fixtures import RaisingLedger

__all__ = ["command"]


@pytest.fixture
def pid(command):
    """A user with a session, 5 credits and one record."""
    (made,) = command("sessions", "create", "--user", "ann", "--credits", "5", "--json").lines

    async def settle(store):
        ledger = RaisingLedger(store, timeout=5)
        await ledger.load()
        await ledger.settle([record("req_1", made["pid"], charge=7)])
        await ledger.close()

    on_store(command, settle)
    return made["pid"]


def test_from_an_export_to_an_erasure_each_act_is_noted(command, pid):
    (found,) = command("accounts", "export", "--user", "ann").lines
    assert [one["charge"] for one in found["records"]] == [7]
    assert len(found["sessions"]) == 1
    target = command.folder / "ann.csv"
    assert command("accounts", "export", "--user", "ann", "--format", "csv", "--output", str(target)).code == 0
    assert {row["section"] for row in csv.DictReader(target.open())} >= {"account", "records", "sessions", "audit"}
    assert target.stat().st_mode & 0o777 == 0o600
    assert "--output" in command("accounts", "export", "--user", "ann", "--output", str(target)).err

    for options in ((), ("--user", "ann")):
        shown = command("usage", "show", "req_1", *options, "--json").lines
        assert [one["charge"] for one in shown] == [7]
    assert "charge             7" in command("usage", "show", "req_1").out
    assert command("usage", "show", "req_2").code == 1

    (better,) = command("accounts", "rectify", "--user", "ann", "req_1", "--set", "charge=5", "--json").lines
    assert (better["rev"], better["charge"]) == (2, 5)
    assert command("accounts", "rectify", "--user", "ann", "req_1", "--set", "rid=5").code == 2
    assert command("accounts", "rectify", "--user", "ann", "req_2", "--set", "charge=5").code == 1

    assert command("accounts", "restrict", "--user", "ann", "--json").lines == [{"restricted": True}]
    assert command("accounts", "restrict", "--user", "ann", "--lift").out == "no longer restricted\n"

    (erasure,) = command("accounts", "erase", "--user", "ann", "--yes", "--json").lines
    assert erasure == {"pid": pid, "deleted": 2, "waiting": 0}
    for act in ("export", "restrict"):
        assert "no account" in command("accounts", act, "--user", "ann").err

    acts = noted(command)
    assert {(actor, noted_pid) for actor, _, noted_pid in acts} == {("cli", pid)}
    assert [action for _, action, _ in acts] == [
        "granted", "issued", "exported", "exported", "looked_up", "looked_up", "looked_up", "corrected",
        "restricted", "unrestricted", "revoked", "erased",
    ]  # fmt: skip


def test_an_erasure_asks_first(command, pid):
    asked = command("accounts", "erase", "--user", "ann")
    assert asked.code == 1
    assert json.loads(command("accounts", "export", "--user", "ann").out)["account"]["granted"] == 5_000_000


def test_a_grant_that_no_replica_holds_is_not_said_to_be_made(command, tmp_path):
    server = Server(tmp_path / "server")
    try:
        text = (command.folder / "gateway.toml").read_text()
        store = f'[store]\nurl = "redis://127.0.0.1:{server.port}"\n'
        command.configure(text + store + "replicas = 1\n")
        refused = command("sessions", "create", "--user", "ann", "--credits", "5")
        assert refused.code == 1
        assert refused.out == ""

        command.configure(text + store)
        assert command("sessions", "create", "--user", "ann", "--credits", "5").code == 0
    finally:
        server.stop()


def test_grants_and_the_list_of_accounts(command):
    assert command("accounts", "list").out == "0 accounts, in credits\n"
    for _ in range(2):
        granted = command("accounts", "grant", "--user", "ann", "--credits", "2.5", "--key", "first", "--json").lines
        assert granted == [{"granted": 2_500_000, "spent": 0, "held": 0, "available": 2_500_000}]
    assert "the ledger refused" in command("accounts", "grant", "--user", "ann", "--credits", "3", "--key", "first").err
    for _ in range(2):
        shown = command("accounts", "grant", "--user", "bob", "--credits", "1000")
    assert "granted    2,000 credits\n" in shown.out
    listed = command("accounts", "list", "--json").lines
    assert sorted(account["granted"] for account in listed) == [2_500_000, 2_000_000_000]
    assert {account["tier"] for account in listed} == {"default"}
    table = command("accounts", "list", env={"COLUMNS": "80"}).out
    assert all(account["pid"] in table for account in listed)
    assert max(map(len, table.splitlines())) <= 80
    command("accounts", "erase", "--user", "ann", "--yes")
    assert [account["granted"] for account in command("accounts", "list", "--json").lines] == [2_000_000_000]
    for wrong in (("--user", "ann", "--credits", "0"), ("--user", "ann", "--credits", "1", "--key", "")):
        assert command("accounts", "grant", *wrong).code == 2
    assert command("accounts", "grant", "--user", " ", "--credits", "1").code == 1
