from __future__ import annotations

import asyncio
import time
import tomllib
from decimal import Decimal

import msgspec
import pytest

from gateway.catalog import catalog, published
from gateway.catalog.price_change import RETRY_SECONDS, PriceChange
from gateway.config.load import read
from providers.dialect import Family

PROVIDERS = """
[providers.openai]
kind = "openai"
api_keys = "k"
retention_days = 0
training = false
region = "global"
"""


@pytest.fixture
def config(tmp_path):
    config = read(tomllib.loads(PROVIDERS, parse_float=Decimal), tmp_path / "gateway.toml", {})
    config.server.data_dir.mkdir()
    return config


def write(config, dollars, until_ms):
    row = {"input": ((0, Decimal(dollars)),), "output": ((0, Decimal(dollars)),)}
    model = published.PublishedModel(Family.OPENAI, "m", ("m",), row=row)
    prices = published.PublishedList(published.FORMAT, published.list_version(), until_ms, (model,))
    published.list_path(config.server.data_dir).write_bytes(msgspec.json.encode(prices))


def rate(found):
    return found.resolve("m").targets[0].price.standard.base[0]


@pytest.fixture
def change(config):
    """A watch whose list changes at 1,000, and what it put and told."""
    write(config, 1, 1_000)
    now, put, failed = [999], [], []
    watch = PriceChange(config, 1_000, put=put.append, on_failure=failed.append, now_ms=lambda: now[0])
    return watch, now, put, failed


async def test_before_its_date_nothing_changes(change):
    watch, _, put, _ = change
    assert await watch.turn() == 0.001
    assert put == []


async def test_at_its_date_new_requests_cost_the_new_price_and_old_ones_the_old(change, config, monkeypatch):
    watch, now, put, _ = change
    old = catalog.load(config)
    held = old.resolve("m").targets[0].price
    before = held.standard.base[0]
    monkeypatch.setattr(published, "prepare", lambda config, now_ms: write(config, 3, None))
    now[0] = 1_000
    assert await watch.turn() is None
    assert rate(put[0]) == 3 * before
    assert held.standard.base[0] == before


async def test_a_list_that_cannot_be_made_is_told_and_tried_again(change, config, monkeypatch):
    watch, now, put, failed = change
    now[0] = 2_000
    published.list_path(config.server.data_dir).unlink()
    monkeypatch.setattr(published, "prepare", lambda config, now_ms: None)
    assert await watch.turn() == RETRY_SECONDS
    assert (len(put), len(failed)) == (0, 1)
    write(config, 2, None)
    assert await watch.turn() is None
    assert len(put) == 1


async def test_it_wakes_by_itself_and_compiles_the_real_list(config):
    write(config, 1, 1)
    put = []
    watch = PriceChange(config, 1, put=put.append, on_failure=put.append)
    watch.start()
    while not put:
        await asyncio.sleep(0.01)
    await watch.close()
    assert put[0].resolve("gpt-4o") is not None
    assert put[0].until_ms is None or put[0].until_ms > time.time() * 1_000
