"""Servers behind a password and TLS, on both of the store's connections."""

import socket

import pytest

from metering.ledger.ledger import Ledger
from metering.store.store import StoreUnavailable, open_store
from tests.contracts.servers import Server, until
from tests.contracts.stores import make_certificate
from tests.tools import need


@pytest.fixture
def certificate(tmp_path):
    make_certificate(tmp_path)
    return tmp_path


async def test_a_password_and_a_database_of_its_own(tmp_path):
    server = Server(tmp_path / "server", "user gateway on >secret ~* &* +@all", "user default on nopass ~* &* +@all")
    try:
        store = await open_store(f"redis://gateway:secret@127.0.0.1:{server.port}/3", data_dir=tmp_path)
        ledger = Ledger(store, timeout=5)
        await ledger.load()
        await ledger.grant("p1", 5, "g")
        with server.client(db=3) as client:
            assert client.dbsize() > 0
        with server.client(db=0) as client:
            assert client.dbsize() == 0
        await ledger.close()
        await store.close()
        with pytest.raises(StoreUnavailable):
            await open_store(f"redis://gateway:wrong@127.0.0.1:{server.port}/3", data_dir=tmp_path)
    finally:
        server.stop()


async def test_tls_is_checked_and_used_for_the_ledger_too(certificate, tmp_path):
    server = Server(tmp_path / "server", binary=need("redis-server"))  # the embedded server is built without TLS
    server.stop()
    tls_port = server.port
    server.answers = lambda: socket.create_connection(("127.0.0.1", tls_port)).close() is None
    server.options = (
        "port 0",
        f"tls-port {tls_port}",
        f"tls-cert-file {certificate}/cert.pem",
        f"tls-key-file {certificate}/key.pem",
        "tls-auth-clients no",
    )
    server.start()
    until(server.answers, "a TLS port")
    try:
        url = f"rediss://127.0.0.1:{tls_port}"
        with pytest.raises(StoreUnavailable):
            await open_store(url, data_dir=tmp_path)  # an authority that nobody vouches for
        store = await open_store(f"{url}?ssl_ca_certs={certificate}/cert.pem", data_dir=tmp_path)
        ledger = Ledger(store, timeout=5)
        await ledger.load()
        assert (await ledger.grant("p1", 5, "g")).granted == 5
        await ledger.close()
        await store.close()
    finally:
        server.stop()
