import pytest

from metering.store.store import StoreInfo, StoreUnavailable, open_store


@pytest.mark.parametrize("url", ["", "memory:", "http://127.0.0.1", "redis:", "embedded"])
async def test_another_scheme_is_refused_by_name(tmp_path, url):
    with pytest.raises(ValueError, match="embedded:"):
        await open_store(url, data_dir=tmp_path)


async def test_a_store_that_is_not_there(tmp_path, unused_tcp_port):
    with pytest.raises(StoreUnavailable):
        await open_store(f"redis://127.0.0.1:{unused_tcp_port}", data_dir=tmp_path)


async def test_a_server_that_is_too_old_is_a_fault(store):
    store.info = StoreInfo("redis", "6.2.14", cluster=False)
    (fault,) = await store.check()
    assert "version 7" in fault
    store.info = StoreInfo("valkey", "7.2.5", cluster=False)
    (fault,) = await store.check()
    assert "version 8" in fault


async def test_the_embedded_store_is_valkey(store):
    assert store.info.server == "valkey"
    assert store.info.major >= 8
    assert not store.info.cluster
    assert await store.check() == []
