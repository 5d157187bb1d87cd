"""What is counted is what is in the ledger, over all workers; no request makes a series."""

import json
import os
import random
import re
import signal
import string
from collections import Counter

import pytest

from benchmarks.simulator import SimulatorProcess
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually, prompt
from tests.integration.test_workers import children
from tests.raw_http import RawClient, ask, request

SAMPLE = re.compile(r"^([a-z_]+)(?:\{([^}]*)\})? ([0-9.]+)$")
LABEL = re.compile(r'([a-z_]+)="([^"]*)"')
KINDS = ("openai", "anthropic", "google")
INPUTS = ("in_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other", "tool_in", "audio_in")
OUTPUTS = ("out_visible", "out_reasoning", "audio_out", "image_out")


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with SimulatorProcess() as sim:
        models = [model(f"{kind}-plain", kind, "m") for kind in KINDS]
        models += [model(f"{kind}-paced", kind, "m@chunks-4000@pace-10ms") for kind in KINDS]
        models += [model(f"{kind}-refused", kind, "m@fault-400") for kind in KINDS]
        process = GatewayProcess(
            tmp_path_factory.mktemp("metrics"),
            {kind: provider(kind, sim.url) for kind in KINDS},
            models,
            {"server": {"abort_grace": 0}},
            workers=2,
        )
        with process:
            yield process


@pytest.fixture(scope="module")
def auth(gateway):
    return {"authorization": f"Bearer {gateway.session('user', 100_000)['access_token']}"}


def samples(gateway):
    """Each sample: its name and labels, and its value."""
    found = {}
    for line in ask(gateway.internal, request("GET", "/metrics")).body.decode().splitlines():
        if not line.startswith("#"):
            name, labels, value = SAMPLE.match(line).groups()
            found[name, frozenset(LABEL.findall(labels or ""))] = float(value)
    return found


def summed(found, name, *labels):
    """The samples of a name that are not 0, by the values of some labels."""
    totals = Counter()
    for (other, pairs), value in found.items():
        if other == name and value:
            totals[tuple(dict(pairs)[label] for label in labels)] += int(value)
    return totals


def test_metrics_equal_the_ledger(gateway, auth):
    for kind in KINDS:
        for stream in (True, False, True):
            path, body = prompt(kind, stream=stream)
            assert ask(gateway.url, request("POST", path, body, headers=auth)).complete
        path, body = prompt(kind, "refused")
        assert ask(gateway.url, request("POST", path, body, headers=auth)).status == 400
    streaming = []
    for kind in KINDS:
        path, body = prompt(kind, "paced")
        client = RawClient(gateway.url).send(request("POST", path, body, headers=auth))
        assert client.head().status == 200
        streaming.append(client)
    found = eventually(lambda: samples(gateway), lambda now: now["codegrex_active_streams", frozenset()] == 3)
    assert found["codegrex_active_requests", frozenset()] == 3
    for client in streaming:
        client.close()
    found = eventually(
        lambda: samples(gateway),
        lambda now: now["codegrex_settle_seconds_count", frozenset()] == 12 and not now["codegrex_active_streams", frozenset()],
    )  # fmt: skip
    os.kill(children(gateway.process.pid)[0], signal.SIGKILL)  # its counts stay
    found = eventually(lambda: samples(gateway), lambda now: now["codegrex_worker_deaths_total", frozenset()] == 1)
    eventually(lambda: samples(gateway), lambda now: now["codegrex_workers_running", frozenset()] == 2)

    records = gateway.usage()
    assert len(records) == 12
    assert summed(found, "codegrex_usage_records_total", "basis") == Counter((r["basis"],) for r in records)
    charges, tokens, requests = Counter(), Counter(), Counter()
    for record in records:
        at = record["provider"]
        charges[at,] += record["charge"]
        tokens[at, "input"] += sum(record[name] for name in (*INPUTS, "image_in"))
        tokens[at, "cache_read"] += record["cache_read"]
        tokens[at, "cache_write"] += sum(record[name] for name in INPUTS if name.startswith("cache_write"))
        tokens[at, "output"] += sum(record[name] for name in OUTPUTS)
        requests[at, record["model"], record["outcome"]] += 1
    assert summed(found, "codegrex_charged_microcredits_total", "provider") == charges
    assert summed(found, "codegrex_tokens_total", "provider", "direction") == +tokens
    refused = Counter({(kind, f"{kind}-refused", "provider_error"): 1 for kind in KINDS})
    assert summed(found, "codegrex_model_requests_total", "provider", "model", "outcome") == requests + refused
    assert sum(summed(found, "codegrex_requests_total", "operation").values()) == 15
    for name, count in (("request", 15), ("gateway", 15), ("provider_first_byte", 15), ("first_byte", 15)):
        assert sum(summed(found, f"codegrex_{name}_seconds_count").values()) == count, name
    assert found["codegrex_output_token_seconds_count", frozenset()] == 6  # the streams that were read to their end
    assert found["codegrex_resident_memory_bytes", frozenset()] > 20e6
    assert found["codegrex_workers", frozenset()] == 2


def test_random_models_and_paths_make_no_series(gateway, auth):
    chance = random.Random(18)

    def word():
        return "".join(chance.choices(string.ascii_letters + string.digits + "-._~", k=chance.randrange(1, 24)))

    before = set(samples(gateway))
    words = [word() for _ in range(60)]
    for index, text in enumerate(words):
        body = json.dumps({"model": text, "messages": [{"role": text, "content": text}], text: text}).encode()
        path = ("/v1/chat/completions", f"/v1/{text}", f"/v1beta/models/{text}:generateContent", f"/{text}")[index % 4]
        headers = {**auth, f"x-{index}": text, "user-agent": text}
        assert ask(gateway.url, request("POST", path, body, headers=headers)).status >= 400
    found = samples(gateway)
    # Whatever appears belongs to a closed list: codes of errors, operations. None of it is a word of a request.
    for name, labels in set(found) - before:
        assert name == "codegrex_refusals_total", (name, labels)
    shown = {value for _, labels in found for _, value in labels}
    assert not shown & {text for text in words if len(text) > 3}
