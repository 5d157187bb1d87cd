"""``sessions``, with the real command on an embedded store; no server runs."""

from __future__ import annotations

import pytest

from gateway.auth.principal import Denial, Mode, Principal, sid_of
from metering.accounts.credit_watch import level_key
from metering.spool import frames
from tests.gateway.cli.commands import Command, command, noted, on_store, token_opens

__all__ = ["command"]


def test_a_session_is_made_with_exactly_what_the_contract_says(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--credits", "5", "--tier", "pro", "--json").lines
    assert set(made) == {"access_token", "expires_in", "pid", "sid"}
    assert made["sid"] == sid_of(made["access_token"])
    assert made["expires_in"] == 30 * 24 * 3_600
    found = token_opens(command, made["access_token"])
    assert isinstance(found, Principal)
    assert (found.pid, found.tier, found.mode) == (made["pid"], "pro", Mode.CLOUD)


def test_a_local_session_and_a_short_one(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--mode", "local", "--expires-in", "15m", "--json").lines
    assert made["expires_in"] == 900
    found = token_opens(command, made["access_token"])
    assert isinstance(found, Principal)
    assert found.mode is Mode.LOCAL
    assert found.tier == "default"


def test_a_session_of_which_nothing_may_be_kept(command: Command) -> None:
    made = command("sessions", "create", "--user", "u", "--max-retention-days", "0", "--json").lines[0]
    found = token_opens(command, made["access_token"])
    assert isinstance(found, Principal)
    assert found.max_retention_days == 0
    free = token_opens(command, command("sessions", "create", "--user", "u", "--json").lines[0]["access_token"])
    assert isinstance(free, Principal)
    assert free.max_retention_days is None
    limits = [session["max_retention_days"] for session in command("sessions", "list", "--json").lines]
    assert limits == [0, None]
    exported = command("accounts", "export", "--user", "u").lines[0]
    assert sorted(str(session["max_retention_days"]) for session in exported["sessions"]) == ["0", "None"]
    assert exported["entitlements"]["max_retention_days"] is None
    assert command("sessions", "create", "--user", "u", "--max-retention-days", "-1").code == 2


def test_credits_add_up_over_the_sessions_of_one_user(command: Command) -> None:
    first = command("sessions", "create", "--user", "u", "--credits", "5", "--json").lines[0]
    second = command("sessions", "create", "--user", "u", "--credits", "0.25", "--json").lines[0]
    assert first["pid"] == second["pid"]
    assert first["access_token"] != second["access_token"]
    assert command("accounts", "show", "--user", "u", "--json").lines == [
        {"granted": 5_250_000, "spent": 0, "held": 0, "available": 5_250_000}
    ]


def test_a_session_without_credits_still_makes_the_account(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--json").lines
    assert command("accounts", "show", "--user", "u", "--json").lines[0]["available"] == 0
    assert noted(command) == [("cli", act, made["pid"]) for act in ("issued", "looked_up")]


def test_credits_that_come_with_a_session_are_a_noted_grant_as_every_other(command: Command) -> None:
    (made,) = command("sessions", "create", "--user", "u", "--json").lines
    pid = made["pid"]
    on_store(command, lambda store: store.client.set(level_key(pid), 2))  # its owner was told that nothing is left
    command("sessions", "create", "--user", "u", "--credits", "1")
    assert noted(command)[1:] == [("cli", act, pid) for act in ("granted", "issued")]
    assert on_store(command, lambda store: store.client.get(level_key(pid))) is None


def test_for_people_the_token_is_shown_once_and_ids_are_whole(command: Command) -> None:
    made = command("sessions", "create", "--user", "u", "--credits", "1", "--expires-in", "36h")
    token = made.out.split()[2]
    assert isinstance(token_opens(command, token), Principal)
    assert "expires in    36 h (" in made.out
    assert f"session       {sid_of(token)}\n" in made.out
    for width in (30, 80, 160):
        listed = command("sessions", "list", env={"COLUMNS": str(width)})
        assert str(sid_of(token)) in listed.out
        assert token not in listed.out
        assert max(map(len, listed.out.splitlines())) <= max(width, 40)


def test_without_a_tier_the_plan_stays_as_it_is(command: Command) -> None:
    first = command("sessions", "create", "--user", "u", "--tier", "pro", "--json").lines[0]
    second = command("sessions", "create", "--user", "u", "--json").lines[0]
    assert [session["tier"] for session in command("sessions", "list", "--json").lines] == ["pro", "pro"]
    assert [account["tier"] for account in command("accounts", "list", "--json").lines] == ["pro"]
    assert noted(command)[:3] == [("cli", act, first["pid"]) for act in ("tier_set", "issued", "issued")]
    assert first["pid"] == second["pid"]


def test_listing_and_revoking(command: Command) -> None:
    tokens = {user: command("sessions", "create", "--user", user, "--json").lines[0] for user in ("a", "b")}
    listed = command("sessions", "list", "--json").lines
    assert {session["pid"] for session in listed} == {made["pid"] for made in tokens.values()}
    (of_a,) = command("sessions", "list", "--user", "a", "--json").lines
    assert set(of_a) == {
        "sid",
        "pid",
        "tier",
        "mode",
        "region",
        "app_version",
        "platform",
        "created_ms",
        "expires_ms",
        "revoked_ms",
        "name",
        "scopes",
        "max_retention_days",
    }
    assert command("sessions", "revoke", of_a["sid"], "--json").lines == [{"revoked": 1}]
    assert token_opens(command, tokens["a"]["access_token"]) is Denial.TOKEN_REVOKED
    assert isinstance(token_opens(command, tokens["b"]["access_token"]), Principal)
    assert command("sessions", "revoke", "--user", "b", "--json").lines == [{"revoked": 1}]
    assert command("sessions", "revoke", "--user", "b", "--json").lines == [{"revoked": 0}]
    assert token_opens(command, tokens["b"]["access_token"]) is Denial.TOKEN_REVOKED
    revoked = [entry for entry in noted(command) if entry[1] == "revoked"]
    assert revoked == [("cli", "revoked", tokens[user]["pid"]) for user in ("a", "b")]


def test_revocations_are_noted_for_the_gateways_of_this_host(command: Command) -> None:
    """A store that fails over and forgets them is told again by whoever adopts the notes."""
    tokens = [command("sessions", "create", "--user", user, "--json").lines[0]["access_token"] for user in ("a", "b")]
    sid = sid_of(tokens[0])
    assert command("sessions", "revoke", sid, "--json").lines == [{"revoked": 1}]
    assert command("sessions", "revoke", "--user", "b", "--json").lines == [{"revoked": 1}]
    notes = sorted((command.folder / "data/spool").glob("*.log"))
    found = [item for note in notes for item in frames.frames(note.read_bytes())]
    assert sorted(found) == sorted((frames.REVOKED, sid_of(token)) for token in tokens)


@pytest.mark.parametrize("sid", ["s" * 20, "nonsense", "{x}", "cgx_at_short"])
def test_revoking_what_is_not_held(sid: str, command: Command) -> None:
    done = command("sessions", "revoke", sid)
    assert done.code == 1
    assert done.err.startswith("error: 1 of the sessions do not exist; see: ")


def test_a_tier_that_does_not_exist(command: Command) -> None:
    done = command("sessions", "create", "--user", "u", "--tier", "gold")
    assert done.code == 1
    assert done.err == "error: --tier: the configuration has no such tier; use one of default, pro\n"


def test_an_empty_user(command: Command) -> None:
    assert command("sessions", "create", "--user", " ").err == "error: --user: is empty; state the user's id\n"
