"""The simulator as a process: ready line, control endpoints, TLS, and an end when its parent ends."""

import json
import ssl
import subprocess
import sys
import urllib.error
import urllib.request

import openai
import pytest

from benchmarks.simulator import SimulatorProcess, make_certificates

HELLO = [{"role": "user", "content": "hello"}]


def ask(sim, model="gpt-4o-mini", **options):
    with openai.OpenAI(base_url=f"{sim.url}/v1", api_key="test", max_retries=0) as client:
        return client.chat.completions.create(model=model, messages=HELLO, **options)


def test_defaults_of_the_command_line_and_the_control_endpoint():
    with SimulatorProcess(chunks=2) as sim:
        assert ask(sim).usage.completion_tokens == 2
        sim.set_defaults(chunks=5)
        assert ask(sim).usage.completion_tokens == 5
        assert ask(sim, "gpt-4o-mini+chunks=3").usage.completion_tokens == 3
        assert sim.wait(completed=3, active=0)["tokens_out"] == 10
        sim.reset()
        assert sim.stats()["requests"] == 0
        with pytest.raises(urllib.error.HTTPError):
            sim.set_defaults(chunk=1)
        with pytest.raises(urllib.error.HTTPError):
            sim.requests()  # nothing is recorded unless asked for


def test_a_wrong_key_is_refused():
    with SimulatorProcess(key="the-key") as sim:
        with pytest.raises(openai.AuthenticationError):
            ask(sim)
        with openai.OpenAI(base_url=f"{sim.url}/v1", api_key="the-key") as client:
            assert client.models.list().data


def test_aborted_by_the_peer():
    with SimulatorProcess() as sim:
        stream = ask(sim, "gpt-4o-mini+chunks=1000+pace=5ms", stream=True)
        next(iter(stream))
        stream.close()
        assert sim.wait(aborted=1, active=0)["completed"] == 0


def test_tls_with_a_private_authority(tmp_path):
    certificates = make_certificates(tmp_path)
    with SimulatorProcess(tls=certificates) as sim:
        assert sim.url.startswith("https://")
        request = urllib.request.Request(f"{sim.url}/v1/models")
        with urllib.request.urlopen(request, context=certificates.client_context()) as answer:
            assert json.load(answer)["object"] == "list"
        with pytest.raises(urllib.error.URLError) as caught:
            urllib.request.urlopen(request)
        assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


@pytest.mark.parametrize("flaw", [{"expired": True}, {"names": ("elsewhere.test",)}])
def test_certificates_with_a_flaw_are_refused(tmp_path, flaw):
    certificates = make_certificates(tmp_path, **flaw)
    with SimulatorProcess(tls=certificates) as sim:
        with pytest.raises(urllib.error.URLError) as caught:
            urllib.request.urlopen(f"{sim.url}/v1/models", context=certificates.client_context())
        assert isinstance(caught.value.reason, ssl.SSLCertVerificationError)


def test_ends_when_standard_input_ends():
    command = [sys.executable, "-m", "benchmarks.simulator", "--until-eof"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert json.loads(process.stdout.readline())["port"] > 0
    process.stdin.close()
    assert process.wait(10) == 0
    process.stdout.close()


def test_an_unknown_fault_on_the_command_line_is_an_error():
    command = [sys.executable, "-m", "benchmarks.simulator", "--fault", "nonsense"]
    done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, timeout=90, check=False)
    assert done.returncode != 0
    assert b"unknown fault nonsense" in done.stderr
