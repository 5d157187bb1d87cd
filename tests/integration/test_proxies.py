"""nginx and HAProxy in front of two gateways, as deploy/ configures them: real processes, over TLS."""

from __future__ import annotations

import contextlib
import re
import signal
import socket
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.ports import free_port
from benchmarks.simulator import SimulatorProcess, make_certificates
from tests import tools
from tests.contracts.servers import Server
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.integration.test_metrics import samples
from tests.raw_http import PATIENCE, Answer, RawClient, request

DEPLOY = Path(__file__).parents[2] / "deploy"
STRANGERS = 10  # refused requests of one network in a minute
BODY = b'{"model": "%b", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'


class TlsClient(RawClient):
    """A client of the proxy, from any address of loopback."""

    def __init__(self, port: int, context: ssl.SSLContext, source: str) -> None:
        plain = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        self.sock = context.wrap_socket(plain, server_hostname="localhost")
        self.file = self.sock.makefile("rb")


@dataclass
class Front:
    """A proxy with two gateways behind it."""

    port: int
    context: ssl.SSLContext
    gateways: Sequence[GatewayProcess]
    token: str

    def client(self, source: str = "127.0.0.1") -> TlsClient:
        return TlsClient(self.port, self.context, source)

    def ask(self, data: bytes, source: str = "127.0.0.1") -> Answer:
        with self.client(source) as client:
            return client.send(data).answer()

    def chat(self, name: str = "plain") -> bytes:
        return request("POST", CHAT, BODY % name.encode(), headers={"authorization": f"Bearer {self.token}"})

    def streams(self) -> list[int]:
        return [int(samples(gateway)["codegrex_active_streams", frozenset()]) for gateway in self.gateways]


def swap(text: str, *pairs: tuple[str, str]) -> str:
    """The text with what is of this run; each must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text


def ports_of(gateways: Sequence[GatewayProcess], attribute: str) -> list[str]:
    return [getattr(gateway, attribute).rsplit(":", 1)[1] for gateway in gateways]


def nginx(folder: Path, port: int, gateways: Sequence[GatewayProcess], cert: Path, key: Path) -> list[str]:
    one, two = ports_of(gateways, "url")
    temporary = "".join(
        f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    site = swap(
        (DEPLOY / "nginx/codegrex.conf").read_text(),
        ("127.0.0.1:8081", f"127.0.0.1:{one}"),
        ("127.0.0.1:8082", f"127.0.0.1:{two}"),
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/nginx/tls/chain.pem", str(cert)),
        ("/etc/nginx/tls/key.pem", str(key)),
        ("/var/log/nginx/error.log", f"{folder}/error.log"),
        ("/etc/nginx/codegrex-proxy.conf", str(DEPLOY / "nginx/proxy.conf")),
    )
    file = folder / "nginx.conf"
    file.write_text(
        f"daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log crit;\n"
        f"events {{}}\nhttp {{ {temporary}\n{site} }}\n"
    )
    return [tools.need("nginx"), "-c", str(file), "-e", f"{folder}/error.log"]


def haproxy(folder: Path, port: int, gateways: Sequence[GatewayProcess], cert: Path, key: Path) -> list[str]:
    pem = folder / "haproxy.pem"
    pem.write_bytes(cert.read_bytes() + key.read_bytes())
    one, two = ports_of(gateways, "url")
    inner_one, inner_two = ports_of(gateways, "internal")
    file = folder / "haproxy.cfg"
    file.write_text(
        swap(
            (DEPLOY / "haproxy/haproxy.cfg").read_text(),
            ("bind :443", f"bind 127.0.0.1:{port}"),
            ("/etc/haproxy/codegrex.pem", str(pem)),
            ("127.0.0.1:8081 check port 9091", f"127.0.0.1:{one} check port {inner_one}"),
            ("127.0.0.1:8082 check port 9092", f"127.0.0.1:{two} check port {inner_two}"),
        )
    )
    program = tools.need("haproxy")
    checked = subprocess.run([program, "-c", "-f", str(file)], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    return [program, "-db", "-f", str(file)]


def accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
        return True
    return False


@pytest.fixture(scope="module", params=[nginx, haproxy], ids=["nginx", "haproxy"])
def front(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    folder = tmp_path_factory.mktemp("front")
    certificates = make_certificates(folder)
    store = Server(folder / "store", "appendonly no")
    with SimulatorProcess() as sim, contextlib.ExitStack() as stack:
        stack.callback(store.kill)
        store.start()
        gateways = []
        for name in ("one", "two"):
            (folder / name).mkdir()
            gateway = GatewayProcess(
                folder / name,
                {"openai": provider("openai", sim.url)},
                [
                    model("plain", "openai", "m"),
                    model("paced", "openai", "m@chunks-150@pace-10ms"),
                    model("hang", "openai", "m@fault-hang_mid@at-3"),
                ],
                {
                    "server": {
                        "behind_tls_proxy": True,
                        "trusted_proxies": ["127.0.0.1"],
                        "stranger_refusals_per_minute": STRANGERS,
                    },
                    "store": {"url": f"redis://127.0.0.1:{store.port}"},
                    "identity": {"key": "k" * 32},
                },
            )
            gateways.append(stack.enter_context(gateway))
        port = free_port()
        command = request.param(folder, port, gateways, certificates.cert_file, certificates.key_file)
        with (folder / "proxy.log").open("wb") as log:
            process = processes.start(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        stack.callback(process.wait)
        stack.callback(process.terminate)
        eventually(lambda: accepts(port) or process.poll() is not None, bool)
        assert process.poll() is None, (folder / "proxy.log").read_text()
        context = ssl.create_default_context(cafile=str(certificates.ca_file))
        found = Front(port, context, gateways, gateways[0].session("user", 100_000)["access_token"])
        eventually(lambda: found.ask(found.chat()).status, lambda status: status == 200)
        yield found


def test_an_event_arrives_while_the_provider_still_holds_the_stream_open(front: Front) -> None:
    with front.client() as client:
        client.send(front.chat("hang"))
        head = client.head()
        assert (head.status, head.headers["content-type"].split(";")[0]) == (200, "text/event-stream")
        seen = b""
        while seen.count(b"data: ") < 2:  # it sends three, and then nothing more
            chunk = client.chunk()
            assert chunk, seen
            seen += chunk
        assert sum(front.streams()) == 1
    eventually(front.streams, lambda now: sum(now) == 0)  # a client that leaves is gone behind the proxy too


def test_a_large_request_and_a_plain_answer_pass(front: Front) -> None:
    body = b'{"model": "plain", "messages": [{"role": "user", "content": "%b"}]}' % (b"x" * 3_000_000)
    with front.client() as client:
        for _ in range(2):  # on one connection
            client.send(request("POST", CHAT, body, headers={"authorization": f"Bearer {front.token}"}))
            answer = client.answer()
            assert (answer.status, answer.complete) == (200, True)
            assert answer.headers["x-request-id"]


def test_an_upgrade_is_refused_by_the_gateway_at_once(front: Front) -> None:
    headers = {
        "authorization": f"Bearer {front.token}",
        "connection": "Upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "dGhlIHNhbXBsZSBub25jZQ==",
    }
    assert front.ask(request("GET", "/v1/responses", headers=headers)).status == 426


def test_the_gateway_sees_its_clients_addresses_and_no_invented_ones(front: Front) -> None:
    """Strangers are counted by network: one that is limited limits no other, and cannot invent itself a new one."""

    def status(source: str, number: int) -> int:
        headers = {"x-forwarded-for": f"10.{number}.1.1"}
        return front.ask(request("GET", "/v1/models", headers=headers), source).status

    seen = [status("127.0.0.5", number) for number in range(3 * STRANGERS)]  # of two gateways
    assert seen[0] == 401
    assert seen[-1] == 429
    assert status("127.77.1.5", 0) == 401


def test_a_gateway_that_drains_loses_no_request(front: Front) -> None:
    with front.client() as client:
        client.send(front.chat("paced"))
        assert client.head().status == 200
        busy = eventually(front.streams, lambda now: sum(now) == 1).index(1)
        front.gateways[busy].process.send_signal(signal.SIGTERM)
        statuses = {front.ask(front.chat()).status for _ in range(30)}
        assert statuses == {200}
        chunks = list(iter(client.chunk, b""))
        assert None not in chunks
        assert b"[DONE]" in b"".join(chunks)[-200:]
    assert front.gateways[busy].process.wait(60) == 0
    assert re.search(r'"event":"drained"', front.gateways[busy].log.read_text())
