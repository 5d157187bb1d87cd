"""``privacy status`` where nobody, or somebody else, listens; what it says of a gateway is in the integration tests."""

import json
import subprocess
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gateway import variables
from gateway.hardening.process import Measure
from tests import fork_server


def status(folder, *arguments) -> subprocess.CompletedProcess:
    command = ["privacy", "status", "--config", str(folder / "none.toml"), *arguments]
    return fork_server.run(command, variables.for_child())


def test_without_a_gateway_it_tells_of_the_machine(tmp_path):
    done = status(tmp_path)
    assert done.returncode == 0, done.stderr
    assert all(measure.value in done.stdout for measure in Measure)
    found = json.loads(status(tmp_path, "--json").stdout)
    assert set(found["here"]) == set(Measure)
    assert found["running"] is None
    assert found["policy"] is None
    assert found["code"].startswith("sha256:")


@pytest.mark.parametrize("body", [b"not json", b"[]", b"7", b"null", b'{"workers": 1}', b'{"workers": {}, "held": {}}'])
def test_a_stranger_on_the_port_is_no_gateway(tmp_path, body):
    class Stranger(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Stranger) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        done = status(tmp_path, "--json", "--url", f"http://127.0.0.1:{server.server_address[1]}")
        server.shutdown()
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["running"] is None
