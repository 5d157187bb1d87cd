"""Clients that hold connections without using them keep nobody out, and a full descriptor table is survived."""

from __future__ import annotations

import json
import socket
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.simulator import SimulatorProcess
from tests import gateway_process
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import PATIENCE, RawClient, ask, request

DESCRIPTORS = 300
OF_ONE = 6  # connections of an address
SILENT = (b"", b"GET / HT", b"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-a: b\r\n")


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


def started(folder, sim, **server):
    return GatewayProcess(
        folder,
        {"openai": provider("openai", sim.url)},
        [model("plain", "openai", "gpt-4o"), model("hang", "openai", "gpt-4o@fault-hang_headers")],
        {"server": server},
    )


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sim):
    bounds = {"head_timeout": 1, "keep_alive_timeout": 2, "max_connections_per_address": OF_ONE}
    with started(tmp_path_factory.mktemp("connections"), sim, **bounds) as gateway:
        yield gateway


@pytest.fixture(scope="module")
def bearer(gateway):
    return {"authorization": f"Bearer {gateway.session()['access_token']}"}


def chat(headers, name="plain"):
    body = {"model": name, "messages": [{"role": "user", "content": "hi"}]}
    return request("POST", CHAT, json.dumps(body).encode(), headers=headers)


def connect(gateway, data=b"", *, source="127.0.0.1"):
    address = urlsplit(gateway.url)
    sock = socket.create_connection((address.hostname, address.port), PATIENCE, source_address=(source, 0))
    sock.sendall(data)
    return sock


def ended(sock):
    """Wait until the gateway has ended a connection."""
    try:
        return sock.recv(1) == b""
    except ConnectionResetError:
        return True


def logged(gateway, event):
    return [line for line in map(json.loads, gateway.log.read_text().splitlines()) if line["event"] == event]


def test_a_full_table(tmp_path, sim, monkeypatch):
    shell = ["/bin/sh", "-c", f'ulimit -n {DESCRIPTORS} && exec "$@"', "sh"]
    monkeypatch.setattr(gateway_process, "CLI", [*shell, *gateway_process.CLI])
    with started(tmp_path, sim) as gateway, ExitStack() as crowd:
        bearer = {"authorization": f"Bearer {gateway.session()['access_token']}"}
        assert ask(gateway.url, request("GET", "/v1/models", headers=bearer)).status == 200
        for number in range(DESCRIPTORS + 20):
            crowd.enter_context(connect(gateway, SILENT[number % len(SILENT)]))
        assert ask(gateway.internal, request("GET", "/livez")).status == 200
        assert ask(gateway.url, request("GET", "/v1/models", headers=bearer)).status == 200
        assert ask(gateway.url, chat(bearer)).status == 200
        assert len(list(Path(f"/proc/{gateway.process.pid}/fd").iterdir())) < DESCRIPTORS * 3 // 4
        (line,) = eventually(lambda: logged(gateway, "connections_full"), bool)
        assert line["level"] == "warning"
        assert line["count"] > 0
        assert not logged(gateway, "loop_error")


@pytest.mark.parametrize("data", SILENT)
def test_a_head_that_does_not_come(gateway, data):
    with connect(gateway, data) as sock:
        assert ended(sock)


def test_a_head_that_comes_a_line_at_a_time(gateway):
    with connect(gateway, SILENT[-1]) as sock:
        sock.settimeout(0.1)
        for _ in range(int(PATIENCE * 10)):
            try:
                sock.sendall(b"x-a: b\r\n")
                if not sock.recv(1):
                    return
            except TimeoutError:
                continue
            except ConnectionError:
                return
        raise AssertionError


def test_a_connection_that_is_kept_for_nothing(gateway, bearer):
    with RawClient(gateway.url) as client:
        assert client.send(chat(bearer)).answer().status == 200
        assert ended(client.sock)


def test_a_second_head_has_its_own_time(gateway, bearer):
    with RawClient(gateway.url) as client:
        assert client.send(chat(bearer)).answer().status == 200
        client.send(b"GET / HT")
        assert ended(client.sock)


def test_one_address_has_its_own_bound(gateway, bearer):
    """Its connections that are being answered are left alone, those that wait make room, others' are not touched."""
    with ExitStack() as clients:
        busy = [clients.enter_context(connect(gateway, chat(bearer, "hang"))) for _ in range(OF_ONE - 1)]
        eventually(lambda: gateway.metric("codegrex_active_requests"), lambda count: count == len(busy))
        waiting = clients.enter_context(connect(gateway))
        assert ask(gateway.url, chat(bearer)).status == 200  # in the place of the one that waits
        assert ended(waiting)
        busy.append(clients.enter_context(connect(gateway, chat(bearer, "hang"))))
        eventually(lambda: gateway.metric("codegrex_active_requests"), lambda count: count == len(busy))
        with connect(gateway) as refused:
            assert ended(refused)
        other = clients.enter_context(connect(gateway, chat(bearer), source="127.0.0.2"))
        assert other.recv(12) == b"HTTP/1.1 200"
        for sock in busy:
            sock.setblocking(False)
            with pytest.raises(BlockingIOError):
                sock.recv(1)
    # The next test's connections must not meet these, which would refuse them.
    eventually(lambda: gateway.metric("codegrex_active_requests"), lambda count: count == 0)


def test_forms_that_do_not_come_make_room(gateway, bearer):
    """Whoever sends them has shown no token, however far its request has come."""
    head = b"POST /oauth/token HTTP/1.1\r\nhost: x\r\ncontent-type: application/x-www-form-urlencoded\r\n"
    with ExitStack() as crowd:
        for _ in range(OF_ONE):
            crowd.enter_context(connect(gateway, head + b"content-length: 100\r\n\r\nclient_id="))
        with RawClient(gateway.url) as client:
            for _ in range(3):
                assert client.send(chat(bearer)).answer().status == 200
