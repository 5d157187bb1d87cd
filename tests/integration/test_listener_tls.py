"""TLS on the gateway's own listener, as where no proxy stands in front."""

from __future__ import annotations

import json
import re
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.simulator import Certificates, SimulatorProcess, make_certificates
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually
from tests.raw_http import PATIENCE, ask, request


def test_a_stream_over_the_gateways_own_certificate(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    server = {"tls_cert": str(certificates.cert_file), "tls_key": str(certificates.key_file), "head_timeout": 1}
    with (
        SimulatorProcess() as simulator,
        GatewayProcess(
            tmp_path,
            {"openai": provider("openai", simulator.url)},
            [model("gpt", "openai"), model("hang", "openai", "gpt-4o@fault-hang_headers")],
            more={"server": server},
        ) as gateway,
    ):
        token = gateway.session()["access_token"]
        url = gateway.url.replace("http://", "https://")
        call = urllib.request.Request(
            url + "/v1/chat/completions",
            data=json.dumps({"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        trusting = ssl.create_default_context(cafile=str(certificates.ca_file))
        with urllib.request.urlopen(call, timeout=60, context=trusting) as answer:
            assert answer.read().endswith(b"data: [DONE]\n\n")
        address = urlsplit(gateway.url)
        with socket.create_connection((address.hostname, address.port), PATIENCE) as silent:
            assert silent.recv(1) == b""  # a handshake has the time of a head
        # A client that says that it sends no more (close_notify) counts as one that left.
        body = b'{"model": "hang", "messages": []}'
        head = f"POST /v1/chat/completions HTTP/1.1\r\nhost: x\r\nx-api-key: {token}\r\ncontent-length: {len(body)}\r\n\r\n"
        with (
            socket.create_connection((address.hostname, address.port), PATIENCE) as plain,
            trusting.wrap_socket(plain, server_hostname=address.hostname) as leaving,
        ):
            leaving.sendall(head.encode() + body)
            simulator.wait(active=1, requests=2)
            leaving.unwrap()
            simulator.wait(aborted=1, active=0)
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(call, timeout=60, context=ssl.create_default_context())
    assert gateway.process.returncode == 0


def served_by(port: int) -> bytes:
    """The certificate that a new connection gets."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secured,
    ):
        found = secured.getpeercert(binary_form=True)
    assert found is not None
    return found


def test_a_renewed_certificate_is_served_without_a_restart(tmp_path: Path) -> None:
    pairs = []
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        pairs.append(make_certificates(tmp_path / name))
    cert, key = tmp_path / "cert.pem", tmp_path / "key.pem"

    def put(pair: Certificates) -> None:
        for source, target in ((pair.cert_file, cert), (pair.key_file, key)):
            draft = target.with_suffix(".draft")
            draft.write_bytes(source.read_bytes())
            draft.replace(target)

    put(pairs[0])
    with (
        SimulatorProcess() as simulator,
        GatewayProcess(
            tmp_path,
            {"openai": provider("openai", simulator.url)},
            [model("paced", "openai", "m@chunks-4000@pace-10ms")],
            more={"server": {"tls_cert": str(cert), "tls_key": str(key)}},
            workers=2,
        ) as gateway,
    ):
        port = urlsplit(gateway.url).port
        assert port is not None
        before = served_by(port)
        token = gateway.session()["access_token"]
        body = b'{"model": "paced", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}'
        trusting = ssl.create_default_context(cafile=str(pairs[0].ca_file))
        with (
            socket.create_connection(("127.0.0.1", port), PATIENCE) as plain,
            trusting.wrap_socket(plain, server_hostname="localhost") as streaming,
        ):
            streaming.sendall(request("POST", "/v1/chat/completions", body, headers={"x-api-key": token}))
            assert streaming.recv(65_536).startswith(b"HTTP/1.1 200")
            key.write_bytes(pairs[1].key_file.read_bytes())  # half of a renewal: nobody notices
            eventually(gateway.log.read_text, lambda text: text.count('"certificate_refused"') == 2)
            assert {served_by(port) for _ in range(8)} == {before}
            metrics = ask(gateway.internal, request("GET", "/metrics")).body.decode()
            assert "codegrex_certificate_refused_workers" in metrics
            assert re.search(r"^codegrex_certificate_expires_seconds \d{10}$", metrics, re.MULTILINE)
            put(pairs[1])
            eventually(gateway.log.read_text, lambda text: text.count('"certificate_renewed"') == 2)
            assert before not in {served_by(port) for _ in range(8)}
            assert streaming.recv(65_536)  # the open stream goes on
    assert gateway.process.returncode == 0
