"""``doctor`` on providers and stores that really answer, or do not."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from benchmarks.ports import free_port
from benchmarks.simulator import make_certificates
from gateway import variables
from tests import fork_server
from tests.collector import OtlpCollector
from tests.contracts.servers import Server
from tests.gateway_process import GatewayProcess, model, provider, toml

KEY = "sk-of-the-doctor"


class Host(ThreadingHTTPServer):
    """A provider that remembers what it was sent."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, dict[str, str]]] = []
        self.date: str | None = None
        host = self

        class Handler(BaseHTTPRequestHandler):
            def do_HEAD(self) -> None:
                host.seen.append((self.command, self.path, {k.lower(): v for k, v in self.headers.items()}))
                self.send_response(404)
                self.end_headers()

            def date_time_string(self, timestamp: float | None = None) -> str:
                return host.date or super().date_time_string(timestamp)

            def log_message(self, *_: object) -> None: ...

        super().__init__(("127.0.0.1", 0), Handler)


@pytest.fixture
def host() -> Iterator[Host]:
    with Host() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def doctor(folder: Path, table: dict[str, Any], *, server: dict[str, Any] | None = None) -> tuple[int, list[Any]]:
    file = folder / "gateway.toml"
    whole = {
        "server": {"port": 0, "data_dir": str(folder / "data"), **(server or {})},
        "internal": {"port": 0},
        "models": [model("m", "openai")],
        **table,
    }
    file.write_text(toml(whole))
    done = fork_server.run(["doctor", "--config", str(file), "--json"], variables.for_child())
    assert KEY not in done.stdout + done.stderr
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def of(found: list[Any], check: str) -> list[tuple[str, str]]:
    return [(one["result"], one["message"]) for one in found if one["check"] == check]


def at(url: str, **more: Any) -> dict[str, Any]:
    return {"openai": {**provider("openai", url), "api_keys": [KEY], **more}}


def test_a_machine_that_is_ready(tmp_path: Path, host: Host) -> None:
    store = Server(tmp_path / "store", "appendonly yes")
    store.start()
    try:
        url = f"http://127.0.0.1:{host.server_port}"
        code, found = doctor(tmp_path, {"providers": at(url), "store": {"url": f"redis://127.0.0.1:{store.port}"}})
    finally:
        store.kill()
    assert code == 0, found
    assert not any(one["result"] == "fault" for one in found)
    checks = {one["check"] for one in found}
    assert checks >= {"configuration", "statements", "ports", "certificate", "store", "clock", "providers", "limits"}
    assert checks >= {"disk", "hardening"}
    assert {result for result, _ in of(found, "clock")} == {"ok"}
    assert [result for result, _ in of(found, "store")] == ["ok"]
    [(method, path, headers)] = host.seen
    assert (method, path) == ("HEAD", "/")
    assert set(headers) <= {"host", "accept-encoding", "user-agent"}  # no key
    assert not (tmp_path / "data").exists()


def test_what_keeps_it_from_serving_is_a_fault(tmp_path: Path, host: Host) -> None:
    host.date = "Wed, 01 Jan 2020 00:00:00 GMT"
    certificates = make_certificates(tmp_path)
    providers = {
        **at(f"http://127.0.0.1:{host.server_port}", training=True),
        "gone": {**provider("openai", f"http://127.0.0.1:{free_port()}"), "api_keys": [KEY]},
    }
    taken = {"port": host.server_port, "tls_cert": str(certificates.cert_file), "tls_key": str(certificates.key_file)}
    table = {"providers": providers, "store": {"url": f"redis://127.0.0.1:{free_port()}"}}
    code, found = doctor(tmp_path, table, server={**taken, "workers": 900})
    assert code == 1
    [(result, said)] = of(found, "store")
    assert (result, said.startswith("store.url: ")) == ("fault", True)
    gone = [said for result, said in of(found, "providers") if result == "fault"]
    assert len(gone) == 1
    assert "cannot be reached (Connection refused)" in gone[0]
    assert any(result == "fault" and "cannot be used" in said for result, said in of(found, "ports"))
    assert any("behind this machine's" in said for result, said in of(found, "clock") if result == "warning")
    assert any("trains on them" in said for result, said in of(found, "statements") if result == "warning")
    assert any("900 workers" in said for result, said in of(found, "limits") if result == "warning")
    assert of(found, "certificate")[0][0] in {"ok", "warning"}


def test_a_store_that_forgets_and_a_wrong_certificate(tmp_path: Path) -> None:
    store = Server(tmp_path / "store", "appendonly no")
    store.start()
    try:
        table = {"providers": at("http://127.0.0.1:1"), "store": {"url": f"redis://127.0.0.1:{store.port}"}}
        _, found = doctor(tmp_path, table)
    finally:
        store.kill()
    assert ("warning", True) in [(result, "appendonly is off" in said) for result, said in of(found, "store")]


def test_a_configuration_that_is_wrong(tmp_path: Path) -> None:
    code, found = doctor(tmp_path, {"providers": {}})
    assert code == 1
    assert [(one["check"], one["result"]) for one in found] == [("configuration", "fault")] * len(found)


def test_a_running_gateway_is_asked(tmp_path: Path, host: Host) -> None:
    url = f"http://127.0.0.1:{host.server_port}"
    more = {"internal": {"port": free_port()}}
    with GatewayProcess(tmp_path, {"openai": provider("openai", url)}, [model("m", "openai")], more) as gateway:
        done = fork_server.run(["doctor", "--config", str(gateway.config), "--json"], variables.for_child())
        assert done.returncode == 0, done.stdout
        assert of([json.loads(line) for line in done.stdout.splitlines()], "gateway") == [("ok", "it runs, ready")]


def test_a_collector_is_sent_nothing_and_says_whether_it_would_take_more(tmp_path: Path, host: Host) -> None:
    found = []
    with OtlpCollector() as collector:
        collector.statuses = [200, 401]
        for address in (collector.url, collector.url, f"http://127.0.0.1:{free_port()}"):
            table = {"providers": at(f"http://127.0.0.1:{host.server_port}"), "telemetry": {"otlp_endpoint": address}}
            found += of(doctor(tmp_path, table)[1], "collector")
        assert [(one.path, one.body) for one in collector.received] == [("/v1/traces", b"")]
    assert [result for result, _ in found] == ["ok", "warning", "warning"]
    assert ["refuses" in message for _, message in found] == [False, True, False]
