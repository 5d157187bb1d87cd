import pytest

from gateway.auth import choice, entitlements
from gateway.auth.choice import Choice
from gateway.auth.entitlements import Entitlements
from metering.store.store import Store, Unconfirmed


async def test_what_billing_states_and_what_the_user_chose_do_not_write_over_each_other(store):
    client = store.client
    assert await choice.read(client, "p1") == Choice()
    await choice.write(store, "p1", Choice("cloud", "eu", 0))
    assert await entitlements.write(client, "p1", Entitlements(1, tier="pro", mode="local"))
    assert await choice.read(client, "p1") == Choice("cloud", "eu", 0)
    await choice.write(store, "p1", Choice())
    assert (await entitlements.read(client, "p1")).mode == "local"
    assert await entitlements.write(client, "p1", Entitlements(2, tier="pro"))
    await entitlements.erase(client, "p1")
    assert await choice.read(client, "p1") == Choice()


async def test_what_might_not_survive_a_failover_is_not_said_to_be_chosen(store):
    lone = Store(store.client, store.info, replicas=1)  # it is to be on a replica, and there is none
    with pytest.raises(Unconfirmed):
        await choice.write(lone, "p1", Choice("local"))
    assert await choice.read(store.client, "p1") == Choice("local")


async def test_a_mode_that_is_none_is_refused_and_read_as_local(store):
    client = store.client
    with pytest.raises(ValueError, match="mode"):
        await choice.write(store, "p1", Choice("both"))
    await client.hset("a:p1", mapping={"own_mode": "both", "own_max_retention_days": "a while"})
    assert await choice.read(client, "p1") == Choice("local", "", 0)
