"""Every socket call of the local broker, recorded by the kernel: none leaves the machine, none asks for a name.

The broker runs under strace with the engine up, down, slow, redirecting, behind a rebound name and on
IPv6, with proxy variables and every look-up's configuration in sight. The control runs a program that
does leave and does ask, under the same recorder, and must be caught.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from ipaddress import ip_address
from pathlib import Path

import pytest

from gateway.local.address import loopback
from tests.local_process import BrokerProcess, ScriptedEngine, chat_chunk, chat_engine, chunks, ollama, reply
from tests.tools import need, needs

pytestmark = needs("strace")

CHAT = {"model": "small", "messages": [{"role": "user", "content": "hello"}]}
ASKED = [
    ("/v1/chat/completions", CHAT),
    ("/v1/chat/completions", CHAT | {"stream": True}),
    ("/v1/messages", CHAT | {"max_tokens": 9, "stream": True}),
    ("/v1beta/models/small:streamGenerateContent?alt=sse", {"contents": [{"parts": [{"text": "hello"}]}]}),
]
# Whoever honours one of these asks for the name or for port 3128, and is seen.
PROXIES = dict.fromkeys(
    ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"), "http://proxy.invalid:3128"
)
LOOK_UPS = ("/etc/resolv.conf", "/etc/hosts", "/etc/nsswitch.conf", "/etc/gai.conf", "/etc/host.conf", "nscd")


class Record:
    """What strace wrote."""

    def __init__(self, path: Path) -> None:
        self.lines = path.read_text(errors="replace").splitlines()
        self.calls = [line for line in self.lines if re.search(r"\b(connect|sendto|sendmsg|sendmmsg|bind)\(", line)]

    @property
    def addresses(self) -> set[str]:
        """Every address in a call that names where to."""
        pattern = r'inet_addr\("([^"]+)"\)|inet_pton\(AF_INET6, "([^"]+)"'
        return {first or second for line in self.calls for first, second in re.findall(pattern, line)}

    @property
    def ports(self) -> set[int]:
        return {int(port) for line in self.calls for port in re.findall(r"sin6?_port=htons\((\d+)\)", line)}

    @property
    def families(self) -> set[str]:
        return set(re.findall(r"\bsocket\((\w+), ", "\n".join(self.lines)))

    @property
    def datagrams(self) -> list[str]:
        return [line for line in self.lines if re.search(r"\bsocket\(AF_INET6?, SOCK_DGRAM", line)]

    @property
    def look_ups(self) -> list[str]:
        return [line for line in self.lines if any(name in line for name in LOOK_UPS)]

    def leaks(self) -> list[str]:
        """What would break the promise; empty where it was kept."""
        found = [address for address in self.addresses if loopback(address) is None]
        found += [f"port {port}" for port in self.ports & {53, 853, 3128}]
        found += self.families - {"AF_INET", "AF_INET6", "AF_UNIX"}
        return found + self.datagrams + self.look_ups


def recorder(path: Path) -> list[str]:
    return [need("strace"), "-f", "-qq", "-s", "256", "-e", "trace=%network,openat,open", "-o", str(path)]


def recorded(tmp_path: Path, options: list[str], drive: Callable[[BrokerProcess], None]) -> Record:
    path = tmp_path / "calls"
    with BrokerProcess(*options, prefix=recorder(path), environment=PROXIES) as broker:
        drive(broker)
    return Record(path)


def ask_all(broker: BrokerProcess, expected: set[int]) -> None:
    for path, body in ASKED:
        assert broker.send("POST", path, body).status in expected
    assert broker.send("GET", "/v1/models").status == 200


def test_the_recorder_sees_what_must_not_be(tmp_path: Path) -> None:
    """The control: a connection out (of datagrams, so that nothing is sent) and a look-up."""
    for number, script in enumerate(
        (
            "import socket; socket.socket(socket.AF_INET, socket.SOCK_DGRAM).connect(('198.51.100.1', 53))",
            "import socket\ntry: socket.getaddrinfo('name.invalid', 80)\nexcept OSError: pass",
            "import socket\ns = socket.socket(); s.setblocking(False); s.connect_ex(('127.0.0.1', 3128))",
        )
    ):
        path = tmp_path / f"control-{number}"
        subprocess.run([*recorder(path), sys.executable, "-c", script], check=True, timeout=60)
        assert Record(path).leaks(), script


def test_the_engine_is_up(tmp_path: Path) -> None:
    with ScriptedEngine(chat_engine("small")) as engine:
        record = recorded(tmp_path, ["--engine", engine.address], lambda broker: ask_all(broker, {200}))
    assert record.leaks() == []
    assert engine.port in record.ports
    assert record.ports >= {11434, 8080, 1234, 8000}  # it looked where engines usually are
    assert all(ip_address(address).is_loopback for address in record.addresses)


def test_the_engine_is_an_ollama_with_a_cloud(tmp_path: Path) -> None:
    table = ollama(
        None,
        {"name": "small:latest"},
        {"name": "big:latest", "remote_host": "https://cloud.invalid:443", "remote_model": "big"},
    )

    def drive(broker: BrokerProcess) -> None:
        ask_all(broker, {200})
        for model in ("big", "small:cloud"):
            assert broker.send("POST", "/v1/chat/completions", CHAT | {"model": model}).code == "local_mode"

    with ScriptedEngine(table) as engine:
        assert recorded(tmp_path, ["--engine", engine.address], drive).leaks() == []
        assert len(engine.asked("POST /v1/chat/completions")) == len(ASKED)


def test_the_engine_is_down(tmp_path: Path) -> None:
    record = recorded(tmp_path, ["--only-named", "--engine", "127.0.0.1:1"], lambda broker: ask_all(broker, {503}))
    assert record.leaks() == []
    assert 1 in record.ports


def test_the_engine_goes_down(tmp_path: Path) -> None:
    with ScriptedEngine(chat_engine("small")) as engine:

        def drive(broker: BrokerProcess) -> None:
            ask_all(broker, {200})
            engine.table["POST /v1/chat/completions"] = lambda sock, _: sock.sendall(chunks(chat_chunk("a"), end=False))
            for path, body in ASKED[1:]:
                with broker.client() as client:
                    assert not client.send(broker.bytes_of("POST", path, body)).answer().complete

        assert recorded(tmp_path, ["--only-named", "--engine", engine.address], drive).leaks() == []


def test_the_engine_is_slow_and_the_client_leaves(tmp_path: Path) -> None:
    with ScriptedEngine(chat_engine("small")) as engine:

        def drive(broker: BrokerProcess) -> None:
            engine.table["POST /v1/chat/completions"] = lambda sock, _: engine.await_close(sock)
            with broker.client() as client:
                client.send(broker.bytes_of("POST", *ASKED[0]))
                while not engine.asked("POST /v1/chat/completions"):
                    pass
            assert engine.closed.wait(20)

        assert recorded(tmp_path, ["--only-named", "--engine", engine.address], drive).leaks() == []


@pytest.mark.parametrize("location", ["http://redirect.invalid/", "http://198.51.100.1/", "http://127.0.0.1:3128/"])
def test_the_engine_redirects(tmp_path: Path, location: str) -> None:
    def drive(broker: BrokerProcess) -> None:
        ask_all(broker, {200})
        for status in (301, 302, 303, 307, 308):
            engine.table["POST /v1/chat/completions"] = reply(status, headers={"location": location})
            ask_all(broker, {502})
        engine.table["GET /v1/models"] = reply(307, headers={"location": location})

    with ScriptedEngine(chat_engine("small")) as engine:
        assert recorded(tmp_path, ["--only-named", "--engine", engine.address], drive).leaks() == []


def test_a_name_that_was_rebound(tmp_path: Path) -> None:
    def drive(broker: BrokerProcess) -> None:
        for host in ("rebound.invalid", f"rebound.invalid:{broker.port}", "198.51.100.1"):
            for path, body in ASKED:
                assert broker.send("POST", path, body, host=host).code == "foreign_origin"

    with ScriptedEngine(chat_engine("small")) as engine:
        record = recorded(tmp_path, ["--only-named", "--engine", engine.address], drive)
        assert record.leaks() == []
        assert engine.asked("POST /v1/chat/completions") == []


@pytest.mark.parametrize("written", ["[::1]:{}", "[::ffff:127.0.0.1]:{}"])
def test_ipv6(tmp_path: Path, written: str) -> None:
    with ScriptedEngine(chat_engine("small"), "127.0.0.1" if "ffff" in written else "::1") as engine:
        options = ["--only-named", "--engine", written.format(engine.port)]
        record = recorded(tmp_path, options, lambda broker: ask_all(broker, {200}))
    assert record.leaks() == []
    # A mapped address is connected to as the IPv4 address that it is.
    assert ("::1" in record.addresses) is ("ffff" not in written)


def test_a_unix_socket(tmp_path: Path) -> None:
    with ScriptedEngine(chat_engine("small"), path=tmp_path / "e.sock") as engine:
        record = recorded(tmp_path, ["--only-named", "--engine", engine.address], lambda broker: ask_all(broker, {200}))
    assert record.leaks() == []
    assert not any("connect(" in line and "AF_INET" in line for line in record.calls)


def test_content_that_is_somewhere_else(tmp_path: Path) -> None:
    image = {"type": "image_url", "image_url": {"url": "http://content.invalid/a.png"}}

    def drive(broker: BrokerProcess) -> None:
        body = CHAT | {"messages": [{"role": "user", "content": [image]}]}
        assert broker.send("POST", "/v1/chat/completions", body).code == "unsupported_feature"

    with ScriptedEngine(chat_engine("small")) as engine:
        assert recorded(tmp_path, ["--only-named", "--engine", engine.address], drive).leaks() == []
