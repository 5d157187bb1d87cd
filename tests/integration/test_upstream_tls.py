"""A provider over TLS: whole streams, cuts, and certificates that do not hold."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from benchmarks.compare import accounting
from benchmarks.simulator import SimulatorProcess, make_certificates
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT
from tests.raw_http import RawClient, ask, request

BODY = b'{"model": "%b", "stream": true, "stream_options": {"include_usage": true}, "messages": [{"role": "user", "content": "%b"}]}'
NAMES = {
    "plain": "gpt-4o@chunks-200",
    "short": "gpt-4o@chunks-2",
    "ragged": "gpt-4o@fault-ragged_mid@at-3",
    "ragged-by-close": "gpt-4o@fault-ragged_mid.http10@at-3",
    "packed": "gpt-4o@fault-gzip",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    certificates = make_certificates(folder / "certificates")
    stranger = make_certificates(folder / "stranger")
    with SimulatorProcess(tls=certificates) as sim:
        providers = {
            "openai": provider("openai", sim.url, ca_file=str(certificates.ca_file)),
            "stranger": provider("openai", sim.url, ca_file=str(stranger.ca_file)),
        }
        models = [model(name, "openai", actual) for name, actual in NAMES.items()]
        with GatewayProcess(folder, providers, [*models, model("stranger", "stranger", "gpt-4o")]) as gateway:
            headers = {"authorization": f"Bearer {gateway.session('user', 1_000_000)['access_token']}"}

            def chat(name, text=b"hi", client=None):
                data = request("POST", CHAT, BODY % (name.encode(), text), headers=headers)
                return ask(gateway.url, data) if client is None else client.send(data).answer()

            chat.gateway = gateway
            yield chat


@pytest.mark.parametrize("_round", range(3))
def test_whole_streams_on_kept_connections(running, _round):
    answer = running("plain")
    assert answer.complete
    assert b"sim-answer-00199" in answer.body
    assert answer.body.endswith(b"data: [DONE]\n\n")


def test_a_large_body(running):
    assert running("plain", b"x" * 3_000_000).complete


@pytest.mark.parametrize("name", ["ragged", "ragged-by-close"])
def test_an_end_without_close_notify_is_a_cut(running, name):
    answer = running(name)
    assert not answer.complete
    assert b"[DONE]" not in answer.body
    assert b'"error"' in answer.body[-600:]


def test_a_certificate_of_another_authority_is_refused(running):
    answer = running("stranger")
    assert (answer.status, answer.code) == (503, "provider_unavailable")


def test_five_thousand_requests_on_kept_connections_leave_no_memory_behind(running):
    gateway, callers = running.gateway, 4

    def memory():
        """Private memory of the gateway's own processes, the store left out."""
        pids = [pid for pid in accounting.tree(gateway.process.pid) if accounting.name_of(pid).startswith("python")]
        assert pids
        return sum(accounting.memory_of(pid).proportional for pid in pids)

    def run(count):
        with RawClient(gateway.url) as client:
            return sum(running("short", client=client).complete for _ in range(count))

    with ThreadPoolExecutor(callers) as pool:
        assert sum(pool.map(run, [250] * callers)) == 1_000
        before = memory()
        assert sum(pool.map(run, [1_250] * callers)) == 5_000
    assert memory() - before < 2_000_000
