"""The console and ``top`` on a real gateway: what an operator sees, and that pages end with whoever opened them."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientSession, web
from aiohttp.test_utils import TestClient, TestServer

from benchmarks.simulator import SimulatorProcess
from gateway import variables
from gateway.internal.console import MOST_PAGES, Console
from gateway.telemetry.instruments import Instruments
from tests import fork_server
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import prompt
from tests.portal_browser import launched
from tests.raw_http import RawClient, ask, request


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayProcess]:
    with SimulatorProcess() as sim:
        models = [model("openai-paced", "openai", "m@chunks-4000@pace-10ms"), model("openai-plain", "openai", "m")]
        process = GatewayProcess(
            tmp_path_factory.mktemp("console"),
            {"openai": provider("openai", sim.url), "spare": provider("openai", sim.url)},
            models,
            {"server": {"abort_grace": 0}},
        )
        with process:
            yield process


@pytest.fixture
def streaming(gateway: GatewayProcess) -> Iterator[None]:
    """One answer that is being streamed."""
    auth = {"authorization": f"Bearer {gateway.session('user', 100_000)['access_token']}"}
    path, body = prompt("openai", "paced")
    with RawClient(gateway.url) as client:
        client.send(request("POST", path, body, headers=auth))
        assert client.head().status == 200
        assert client.chunk()
        yield


def top(gateway: GatewayProcess, *more: str) -> str:
    done = fork_server.run(["top", "--once", "--url", gateway.internal, *more], variables.for_child())
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def figures(overview: dict[str, Any], title: str, name: str) -> list[str]:
    (table,) = (table for table in overview["tables"] if table["title"] == title)
    (row,) = (row for row in table["rows"] if row["name"] == name)
    return [figure["text"] for figure in row["figures"]]


def test_top_writes_one_table_and_exits(gateway: GatewayProcess, streaming: None) -> None:
    text = top(gateway)
    assert "\x1b" not in text
    for title in ("requests by outcome", "times", "settled usage", "store and spool", "exceptions", "providers"):
        assert title in text
    (line,) = top(gateway, "--json").splitlines()
    found = json.loads(line)
    assert figures(found, "now", "live streams") == ["1"]
    assert figures(found, "workers", "running") == ["1"]
    assert 0.9 < found["seconds"] < 60


def test_the_page_shows_what_the_gateway_does(gateway: GatewayProcess, streaming: None, tmp_path: Path) -> None:
    requested, said = [], []
    done = fork_server.run(
        ["switches", "off", "provider", "spare", "--config", str(gateway.config)], variables.for_child()
    )
    assert done.returncode == 0, done.stderr
    with launched() as browser:
        page = browser.new_context(viewport={"width": 1400, "height": 1000}).new_page()
        page.set_default_timeout(30_000)
        page.on("request", lambda sent: requested.append(sent.url))
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.goto(f"{gateway.internal}/console")
        row = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="live streams", exact=True))
        row.get_by_role("cell", name="1", exact=True).wait_for()
        row.locator("polyline[points*=' ']").wait_for(state="attached")  # two events, so a line
        off = page.get_by_role("row").filter(has=page.get_by_role("rowheader", name="spare", exact=True))
        off.get_by_role("cell", name="off !", exact=True).wait_for()  # as it is read out
        assert page.locator("#state").inner_text().endswith("live")
        assert page.evaluate("getComputedStyle(document.querySelector('section')).breakInside") == "avoid"  # styled
        page.screenshot(path=tmp_path / "console.png", full_page=True)
    assert set(requested) == {f"{gateway.internal}/console", f"{gateway.internal}/console/events"}
    assert said == []


def test_the_page_s_policy_allows_only_what_is_in_it(gateway: GatewayProcess) -> None:
    answer = ask(gateway.internal, request("GET", "/console"))
    policy = dict(part.strip().split(" ", 1) for part in answer.headers["content-security-policy"].split(";"))
    assert policy.pop("style-src").startswith("'sha256-")
    assert policy.pop("script-src").startswith("'sha256-")
    assert policy.pop("connect-src") == "'self'"
    assert set(policy.values()) == {"'none'"}
    assert answer.headers["cache-control"] == "no-store"
    assert b"{console." not in answer.body


async def console() -> tuple[TestClient[web.Request, web.Application], Console]:
    instruments = Instruments(["openai"])
    instruments.registry.bind(instruments.registry.create(1), 0)
    application, made = web.Application(), Console(instruments)
    made.add_to(application)
    client = TestClient(TestServer(application))
    await client.start_server()
    return client, made


async def test_events_end_with_the_client_are_bounded_and_not_for_other_sites() -> None:
    client, made = await console()
    async with client:
        foreign = await client.get("/console/events", headers={"Sec-Fetch-Site": "cross-site"})
        assert (foreign.status, (await foreign.json())["code"]) == (403, "foreign_origin")
        pages = [await client.get("/console/events") for _ in range(MOST_PAGES)]
        for page in pages:
            assert json.loads((await page.content.readline()).removeprefix(b"data: "))["tables"]
        many = await client.get("/console/events")
        assert (many.status, (await many.json())["code"]) == (503, "overloaded")
        pages.pop().close()
        async with asyncio.timeout(30):
            while made.pages == MOST_PAGES:
                await asyncio.sleep(0.01)
        again = await client.get("/console/events")
        assert again.status == 200


async def test_events_end_with_the_listener() -> None:
    client, _ = await console()
    async with ClientSession() as session:
        page = await session.get(client.make_url("/console/events"))
        assert await page.content.readline()
        async with asyncio.timeout(30):
            await client.close()
            while await page.content.readline():
                pass
        assert page.content.at_eof()
