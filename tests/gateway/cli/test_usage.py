"""``usage``, with the real command on an embedded store; no server runs."""

from __future__ import annotations

from metering.usage import UsageRecord
from tests.gateway.cli.commands import Command, command, hold, record, settle

__all__ = ["command"]


def test_usage_records_one_a_line_oldest_first_in_the_order_of_the_contract(command: Command) -> None:
    pids = {
        user: command("sessions", "create", "--user", user, "--credits", "100", "--json").lines[0]["pid"]
        for user in ("a", "b")
    }
    for rid, user in (("r1", "a"), ("r2", "b"), ("r3", "a")):
        settle(command, record(pids[user], rid, 1_000))
    listed = command("usage", "list", "--json").lines
    assert [line["rid"] for line in listed] == ["r1", "r2", "r3"]
    assert list(listed[0]) == list(UsageRecord.__struct_fields__)
    assert listed[0]["v"] == 1
    assert (listed[0]["in_uncached"], listed[0]["cache_read"], listed[0]["charge"]) == (7, 0, 1_000)
    assert [line["rid"] for line in command("usage", "list", "--user", "a", "--json").lines] == ["r1", "r3"]
    assert [line["rid"] for line in command("usage", "list", "--since", "1h", "--json").lines] == ["r1", "r2", "r3"]
    assert command("usage", "list", "--since", "2099-01-01", "--json").lines == []
    table = command("usage", "list", env={"COLUMNS": "40"}).out
    assert "3 requests" in table
    assert all(rid in table for rid in ("r1", "r2", "r3"))
    assert pids["a"] in command("usage", "list", env={"COLUMNS": "160"}).out
    hold(command, pids["a"], 50)
    assert command("accounts", "show", "--user", "a", "--json").lines == [
        {"granted": 100_000_000, "spent": 2_000, "held": 50, "available": 99_997_950}
    ]
    assert "available  99.99795 credits" in command("accounts", "show", "--user", "a").out


def test_no_usage_is_no_lines(command: Command) -> None:
    assert command("usage", "list", "--json").lines == []
    assert command("usage", "list").out == "0 requests\n"
