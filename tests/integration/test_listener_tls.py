"""TLS on the gateway's own listener, as where no proxy stands in front."""

from __future__ import annotations

import json
import socket
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from benchmarks.simulator import SimulatorProcess, make_certificates
from tests.gateway_process import GatewayProcess, model, provider
from tests.raw_http import PATIENCE


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
        request = urllib.request.Request(
            url + "/v1/chat/completions",
            data=json.dumps({"model": "gpt", "stream": True, "messages": [{"role": "user", "content": "Hi"}]}).encode(),
            headers={"Authorization": f"Bearer {token}", "Content-Type": "application/json"},
        )
        trusting = ssl.create_default_context(cafile=str(certificates.ca_file))
        with urllib.request.urlopen(request, timeout=60, context=trusting) as answer:
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
            urllib.request.urlopen(request, timeout=60, context=ssl.create_default_context())
    assert gateway.process.returncode == 0
