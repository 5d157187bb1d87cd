from __future__ import annotations

from gateway.auth.switches import Off, Switchable, Switches, read_switches, switch
from metering.store.store import Store

PROVIDER, MODEL, KEY = Switchable.PROVIDER, Switchable.MODEL, Switchable.KEY


async def test_what_is_off_is_known_until_it_is_on(store: Store) -> None:
    await switched(store)


async def test_so_it_is_on_a_cluster(cluster: Store) -> None:
    await switched(cluster)


async def switched(store: Store) -> None:
    told: list[Off] = []
    switches = Switches(store.client, listening=lambda: True, changed=told.append)
    await switches.look()
    assert not switches
    for what, name in ((PROVIDER, "openai"), (MODEL, "m:1"), (KEY, "openai:2")):
        await switch(store, what, name, off=True)
    since = [one.since_ms for one in await read_switches(store.client)]
    await switch(store, PROVIDER, "openai", off=True)  # again: nothing changes
    assert [one.since_ms for one in await read_switches(store.client)] == since
    await switches.look()
    await switches.look()
    assert told == [{(PROVIDER, "openai"), (MODEL, "m:1"), (KEY, "openai:2")}]
    assert switches.provider("openai")
    assert not switches.provider("m:1")
    assert switches.model(("x", "m:1"))
    assert not switches.model(("openai",))
    assert switches.keys("openai", 3) == {1}
    assert switches.keys("openai", 1) == switches.keys("other", 3) == set()
    for what, name in ((PROVIDER, "openai"), (MODEL, "m:1"), (KEY, "openai:2")):
        await switch(store, what, name, off=False)
    await switches.look()
    assert not switches
    assert [len(off) for off in told] == [3, 0]
    assert await read_switches(store.client) == []
