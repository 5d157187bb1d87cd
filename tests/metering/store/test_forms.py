"""Each form of ``store.url`` on real servers: both of the store's connections, and where it says that it listens."""

import asyncio

import pytest

from gateway.auth.announcements import Announcement, Listener, Topic, publish
from metering.ledger.ledger import Ledger
from metering.store.store import StoreUnavailable, open_store
from tests.contracts.stores import FORMS, store_of

REVOKED = Announcement(Topic.SESSION_REVOKED, sid="s" * 20)


@pytest.mark.parametrize("form", FORMS)
async def test_a_form_serves_the_ledger_and_announcements(form, tmp_path):
    with store_of(form, tmp_path) as url:
        store = await open_store(url, data_dir=tmp_path)
        ledger = Ledger(store, timeout=5)
        listener, heard = Listener(store.endpoint), asyncio.Event()
        listener.on(Topic.SESSION_REVOKED, lambda _announcement: heard.set())
        try:
            assert await store.check() == []
            await ledger.load()
            assert (await ledger.grant("p1", 5, "g")).granted == 5
            await listener.start(20)
            assert await publish(store.client, REVOKED)
            await asyncio.wait_for(heard.wait(), 60)
        finally:
            await listener.close()
            await ledger.close()
            await store.close()


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:{}",
        "rediss://127.0.0.1:{}",
        "redis+cluster://127.0.0.1:{}",
        "redis+sentinel://127.0.0.1:{},127.0.0.1:{}/main",
    ],
)
async def test_a_store_that_is_away_is_unavailable(url, tmp_path, unused_tcp_port):
    with pytest.raises(StoreUnavailable):
        await open_store(url.replace("{}", str(unused_tcp_port)), data_dir=tmp_path)


async def test_a_sentinel_that_knows_another_service_is_unavailable(tmp_path):
    with store_of("redis+sentinel-1", tmp_path) as url, pytest.raises(StoreUnavailable):
        await open_store(url.replace("/main", "/other"), data_dir=tmp_path)


async def test_a_server_without_tls_gets_no_password(tmp_path):
    """A ``rediss`` address never falls back to plain text, on neither of the store's connections."""
    said = bytearray()

    async def listen(reader, writer):
        said.extend(await reader.read(1_000))
        writer.close()

    server = await asyncio.start_server(listen, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(StoreUnavailable):
        await open_store(f"rediss://user:secret@127.0.0.1:{port}", data_dir=tmp_path)
    server.close()
    assert said
    assert b"secret" not in said
