"""Mutation: each layer of local mode is taken away in turn, and the test of that layer must then fail.

A row names a layer, how it is removed, and the test that stands for it. Every test passes as things
are; with its own layer removed it fails. The packaging and the namespace have tests that look at real
processes (tests/integration/test_local_packaging.py, test_local_isolation.py).
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from multidict import CIMultiDict

from gateway.errors import ForeignOrigin, GatewayError, LocalMode
from gateway.local import address, credentials, directory, engine, origin_check, process_guard
from gateway.local.address import AddressRefused, Tcp, parse_address
from gateway.local.directory import Directory
from gateway.local.engine import ask
from gateway.local.faults import EngineError, EngineFault
from gateway.local.settings import SettingsError, refuse_credentials
from providers.dialect import Refusal
from providers.local import remote_references
from tests.local_process import ScriptedEngine, ollama, reply

Layer = Callable[[], Awaitable[None]]


async def literal_addresses() -> None:
    for text in ("localhost:80", "10.0.0.1:80", "[::ffff:10.0.0.1]:80"):
        with pytest.raises(AddressRefused):
            parse_address(text)


async def checked_again_when_connecting() -> None:
    with pytest.raises(EngineError) as caught:
        await engine.connect(asyncio.get_running_loop(), Tcp("localhost", 1))
    assert caught.value.fault is EngineFault.FOREIGN


async def the_peer_is_asked_for() -> None:
    """The connection is led to another port on its way, as a redirection in the kernel would."""
    loop = asyncio.get_running_loop()
    with socket.create_server(("127.0.0.1", 0)) as elsewhere, socket.create_server(("127.0.0.1", 0)) as meant:

        class Led:
            async def sock_connect(self, sock: socket.socket, _: Any) -> None:
                await loop.sock_connect(sock, elsewhere.getsockname())

        with pytest.raises(EngineError) as caught:
            await engine.connect(Led(), Tcp("127.0.0.1", meant.getsockname()[1]))  # type: ignore[arg-type]
        assert caught.value.fault is EngineFault.FOREIGN


async def redirects_are_faults() -> None:
    for status in (301, 302, 303, 307, 308):
        with ScriptedEngine({"GET /x": reply(status, headers={"location": "http://10.9.9.9/"})}) as scripted:
            with pytest.raises(EngineError) as caught:
                await ask(asyncio.get_running_loop(), Tcp("127.0.0.1", scripted.port), "GET", "/x")
            assert caught.value.fault is EngineFault.REDIRECT


async def look_ups_are_refused() -> None:
    assert not process_guard.allows("socket.getaddrinfo", ("example.test", 80, 0, 0, 0))
    assert not process_guard.allows("socket.gethostbyname", ("example.test",))


async def connections_are_refused() -> None:
    assert not process_guard.allows("socket.connect", (None, ("10.9.9.9", 80)))


async def names_of_the_cloud_are_refused() -> None:
    await _refuses("kimi:cloud", ollama(None, {"name": "kimi:latest"}))


async def models_listed_as_remote_are_refused() -> None:
    await _refuses("mine", ollama(None, {"name": "mine:latest", "remote_host": "https://x.test", "remote_model": "y"}))


async def the_engine_is_asked_right_before() -> None:
    await _refuses("mine", ollama({"remote_host": "https://x.test"}, {"name": "mine:latest"}))


async def _refuses(name: str, table: Any) -> None:
    with ScriptedEngine(table) as scripted:
        found = Directory(asyncio.get_running_loop(), [Tcp("127.0.0.1", scripted.port)], usual_ports=False)
        with pytest.raises(LocalMode):
            await found.find(name)


async def hosts_are_checked() -> None:
    with pytest.raises(ForeignOrigin):
        origin_check.OriginCheck(8081).check(CIMultiDict({"Host": "evil.test:8081"}))


async def origins_are_checked() -> None:
    with pytest.raises(ForeignOrigin):
        origin_check.OriginCheck(8081).check(CIMultiDict({"Host": "127.0.0.1:8081", "Origin": "https://evil.test"}))


async def credentials_in_the_environment_are_seen() -> None:
    with pytest.raises(SettingsError):
        refuse_credentials({"OPENAI_API_KEY": "x"}, {})


async def credentials_in_the_configuration_are_seen() -> None:
    with pytest.raises(SettingsError):
        refuse_credentials({}, {"providers": {}})


async def remote_content_is_refused() -> None:
    body = b'{"messages":[{"content":[{"type":"image_url","image_url":{"url":"https://x.test/a.png"}}]}]}'
    with pytest.raises(Refusal):
        remote_references.refuse_remote_references(body)


def _always(value: Any) -> Callable[..., Any]:
    return lambda *_, **__: value


def _same(value: Any, *_: Any) -> Any:
    return value


async def _without_head_check(answer: engine.EngineAnswer) -> None:
    while not answer.head_done:
        await answer._more(5)


# layer: (its test, what is patched, with what)
LAYERS: dict[str, tuple[Layer, Any, str, Any]] = {
    "literal addresses": (literal_addresses, address, "check_address", _same),
    "the check before connecting": (checked_again_when_connecting, engine, "literal", _same),
    "the peer check": (the_peer_is_asked_for, engine, "check_peer", _always(None)),
    "refusal of redirects": (redirects_are_faults, engine.EngineAnswer, "head", _without_head_check),
    "the guard against look-ups": (look_ups_are_refused, process_guard, "allows", _always(True)),
    "the guard against connections": (connections_are_refused, process_guard, "allows", _always(True)),
    "names of the cloud": (names_of_the_cloud_are_refused, directory, "names_cloud", _always(False)),
    "the engine's list": (
        models_listed_as_remote_are_refused,
        directory,
        "read_tags",
        _always((("mine:latest",), frozenset())),
    ),
    "the question before the prompt": (the_engine_is_asked_right_before, directory, "runs_here", _always(True)),
    "the check of the host": (hosts_are_checked, origin_check, "_NAMES", ("127.0.0.1", "evil.test")),
    "the check of the origin": (origins_are_checked, origin_check.OriginCheck, "check", _always(None)),
    "credentials in the environment": (
        credentials_in_the_environment_are_seen,
        "gateway.local.settings",
        "in_environment",
        _always([]),
    ),
    "credentials in the configuration": (
        credentials_in_the_configuration_are_seen,
        credentials,
        "_walk",
        _always(iter(())),
    ),
    "remote content": (remote_content_is_refused, remote_references, "_is_remote", _always(False)),
}


@pytest.mark.parametrize("name", LAYERS)
async def test_the_layer_holds(name: str) -> None:
    await LAYERS[name][0]()


@pytest.mark.parametrize("name", LAYERS)
async def test_without_the_layer_its_test_fails(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    test, owner, member, instead = LAYERS[name]
    if isinstance(owner, str):
        monkeypatch.setattr(f"{owner}.{member}", instead)
    else:
        monkeypatch.setattr(owner, member, instead)
    with pytest.raises((AssertionError, pytest.fail.Exception, OSError, GatewayError)):
        await test()
