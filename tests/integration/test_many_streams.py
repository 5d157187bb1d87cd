"""Two thousand streams at once: none fails, each gets its whole answer, and each is settled."""

import json
import resource
import subprocess
import sys

import pytest

from tests.integration.conftest import eventually

STREAMS = 2_000
USERS = 10


@pytest.fixture(autouse=True)
def files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < 3 * STREAMS:
        pytest.skip(f"this system allows {hard} open files, {3 * STREAMS} are needed")
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.timeout(400)
def test_two_thousand_streams_at_once(running):
    # Each answer outlasts the ramp, so that all are open together; the load generator checks every end.
    running.sim.set_defaults(chunks=60, pace=500)
    users = [f"streamer-{number}" for number in range(USERS)]
    tokens = [running.gateway.session(user, 100_000)["access_token"] for user in users]
    try:
        done = subprocess.run(
            [
                *(
                    sys.executable,
                    "-m",
                    "benchmarks",
                    "load",
                    "streams",
                    "--url",
                    running.url,
                    "--token",
                    ",".join(tokens),
                ),
                *("--model", "openai-plain", "--callers", str(STREAMS), "--ramp", "20", "--warmup", "21"),
                *("--seconds", "0.5", "--drain", "120"),
            ],
            capture_output=True,
            text=True,
            check=True,
        )
    finally:
        running.sim.set_defaults(chunks=12, pace=0)
    result = json.loads(done.stdout)
    assert result["errors"] == {}
    assert result["open_at_end"] == STREAMS
    for user in users:
        account = eventually(lambda user=user: running.gateway.account(user), lambda found: found["held"] == 0)
        assert account["spent"] > 0
    outcomes = [line["outcome"] for line in running.next_logged(STREAMS)]
    assert set(outcomes) == {"completed"}
