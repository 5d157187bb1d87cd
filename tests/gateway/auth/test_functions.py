from __future__ import annotations

import pytest
from redis.exceptions import ResponseError

from gateway.auth import functions
from metering.store.store import Store


async def test_a_store_without_the_library_gets_it_at_the_first_call(store: Store) -> None:
    await store.client.execute_command("FUNCTION", "FLUSH")
    assert await functions.call(store.client, "cgxa1_decide", ("d:{x}",), "denied") == 0
    [library] = await store.client.function_list()
    assert b"codegrex_auth_v1" in library


async def test_an_emptied_store_gets_it_again(cluster: Store) -> None:
    for _ in range(2):
        await cluster.on_primaries("FUNCTION", "FLUSH")
        for name in "abcdef":  # on several primaries
            assert await functions.call(cluster.client, "cgxa1_decide", (f"d:{{{name}}}",), "denied") == 0


async def test_another_error_is_the_caller_s(store: Store) -> None:
    await store.client.set("d:{x}", "not a hash")
    with pytest.raises(ResponseError, match="WRONGTYPE"):
        await functions.call(store.client, "cgxa1_decide", ("d:{x}",), "denied")


async def test_the_ledger_s_library_stands_beside_it(store: Store) -> None:
    from metering.ledger.ledger import Ledger

    ledger = Ledger(store, timeout=5)
    await ledger.load()
    await functions.load(store.client)
    await ledger.load()
    await ledger.close()
    assert len(await store.client.function_list()) == 2
