from __future__ import annotations

import asyncio
import random

import pytest

from gateway.auth import entitlements
from gateway.auth.entitlements import NONE, Entitlements, NotOfItsForm
from metering.store.store import Store

PID = "p" + "a" * 24
ORG = entitlements.org_digest(b"k" * 32, "the organisation's own name")
FULL = Entitlements(
    7,
    "pro",
    frozenset({"b-model", "a-model"}),
    "eu",
    "cloud",
    ORG,
    {"macos": "1.10", "linux": "2.0.1"},
    30,
    frozenset({"b company", "a"}),
)


async def test_what_was_written_is_read(store: Store) -> None:
    assert await entitlements.read(store.client, PID) == NONE
    assert await entitlements.write(store.client, PID, FULL)
    assert await entitlements.read(store.client, PID) == FULL
    await entitlements.erase(store.client, PID)
    assert await entitlements.read(store.client, PID) == NONE


async def test_an_older_version_and_another_body_under_the_same_change_nothing(store: Store) -> None:
    assert await entitlements.write(store.client, PID, Entitlements(2, "pro"))
    assert not await entitlements.write(store.client, PID, Entitlements(1, "free"))
    assert not await entitlements.write(store.client, PID, Entitlements(2, "free"))
    assert await entitlements.write(store.client, PID, Entitlements(2, "pro"))  # the same event again
    assert await entitlements.read(store.client, PID) == Entitlements(2, "pro")
    assert await entitlements.write(store.client, PID, Entitlements(3))
    assert await entitlements.read(store.client, PID) == Entitlements(3)


async def test_in_whatever_order_the_newest_stays(store: Store) -> None:
    versions = list(range(1, 60))
    random.Random(5).shuffle(versions)
    await asyncio.gather(*(entitlements.write(store.client, PID, Entitlements(v, f"t{v}")) for v in versions))
    assert await entitlements.read(store.client, PID) == Entitlements(59, "t59")


async def test_the_order_of_a_set_is_no_other_body(store: Store) -> None:
    names = [f"model-{i}" for i in range(50)]
    assert await entitlements.write(store.client, PID, Entitlements(1, models=frozenset(names)))
    assert await entitlements.write(store.client, PID, Entitlements(1, models=frozenset(reversed(names))))


async def test_an_organisation_has_its_own(cluster: Store) -> None:
    theirs = Entitlements(1, region="eu", mode="local")
    assert await entitlements.write_org(cluster.client, ORG, theirs)
    assert await entitlements.read_org(cluster.client, ORG) == theirs
    assert await entitlements.read(cluster.client, "p" + "z" * 24) == NONE
    assert "name" not in entitlements.org_key(ORG)
    for org, wrong in (("acme", theirs), ("", theirs), (ORG, Entitlements(1, org=ORG))):
        with pytest.raises(ValueError, match="organisation"):
            await entitlements.write_org(cluster.client, org, wrong)


async def test_without_what_came_later_the_body_is_what_it_was_before_there_were_any(store: Store) -> None:
    assert await entitlements.write(store.client, PID, Entitlements(2, "pro"))
    body = await store.client.hget(entitlements.account_key(PID), "body")
    expected = '{"version":2,"tier":"pro","models":[],"region":"","mode":"","org":"","min_app":{}}'
    assert (body.decode() if isinstance(body, bytes) else body) == expected
    assert await entitlements.write(store.client, PID, Entitlements(3, max_retention_days=0))
    assert (await entitlements.read(store.client, PID)).max_retention_days == 0
    assert not await entitlements.write(store.client, PID, Entitlements(3))  # it states something else
    assert await entitlements.write(store.client, PID, Entitlements(4, fallback_companies=frozenset()))
    assert (await entitlements.read(store.client, PID)).fallback_companies == frozenset()


async def test_what_cannot_be_read_restricts(store: Store) -> None:
    await store.client.hset(entitlements.account_key(PID), mapping={"version": "9", "body": '{"models": 3}'})
    assert (await entitlements.read(store.client, PID)).mode == "local"


@pytest.mark.parametrize(
    "wrong",
    [
        Entitlements(0),
        Entitlements(2**53),
        Entitlements(1, tier="Pro!"),
        Entitlements(1, models=frozenset({"a\nb"})),
        Entitlements(1, region="E U"),
        Entitlements(1, mode="both"),
        Entitlements(1, org="acme"),
        Entitlements(1, min_app={"macos": "1.x"}),
        Entitlements(1, max_retention_days=-1),
        Entitlements(1, max_retention_days=36_501),
        Entitlements(1, fallback_companies=frozenset({""})),
        Entitlements(1, fallback_companies=frozenset({"a\nb"})),
        Entitlements(1, fallback_companies=frozenset({"a" * 65})),
    ],
)
async def test_a_field_that_is_not_of_its_form_is_refused(store: Store, wrong: Entitlements) -> None:
    with pytest.raises(NotOfItsForm, match="is not of its form"):
        await entitlements.write(store.client, PID, wrong)
