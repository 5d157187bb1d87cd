"""Local means local: refused before the body is read, and no provider connection is opened."""

import pytest

from tests.integration.conftest import CHAT, MESSAGES, prompt
from tests.raw_http import ask, request

GOOGLE = [
    f"{prefix}/models/google-plain:{verb}"
    for prefix in ("/v1", "/v1beta")
    for verb in ("generateContent", "streamGenerateContent", "countTokens", "embedContent", "batchEmbedContents")
]
OPENAI = [
    CHAT,
    "/v1/responses",
    "/v1/responses/compact",
    "/v1/responses/input_tokens",
    "/v1/completions",
    "/v1/embeddings",
    "/chat/completions",
]
PATHS = [*OPENAI, MESSAGES, "/v1/messages/count_tokens", "/v1/v1/messages", *GOOGLE]
KIND = {**dict.fromkeys(OPENAI, "openai"), **dict.fromkeys(GOOGLE, "google")}


@pytest.fixture(scope="session")
def local_token(process):
    return process.gateway.session("local-user", 10, mode="local")["access_token"]


@pytest.fixture
def closed(running):
    """No provider connection may be opened, nothing held, nothing charged."""
    before, opened = running.quiet(), running.sim.stats()["connections_total"]
    yield running
    assert running.credits() == before
    assert running.sim.stats()["connections_total"] == opened + 1  # the one that asks
    assert running.sim.stats()["requests"] == 0


def refused(answer, kind):
    assert (answer.status, answer.code) == (403, "local_mode")
    assert answer.headers["x-error-origin"] == "gateway"
    assert answer.headers["connection"] == "close"
    error = answer.json()["error"]
    assert "local mode" in error["message"]
    if kind == "google":
        assert (error["code"], error["status"]) == (403, "PERMISSION_DENIED")


@pytest.mark.parametrize("path", PATHS)
def test_a_local_session_is_refused_before_its_body_is_read(closed, local_token, path):
    data = request("POST", path, headers={"authorization": f"Bearer {local_token}", "content-length": "5000"})
    with closed.client() as client:
        refused(client.send(data).answer(), KIND.get(path))


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("mode", ["local", "LOCAL", "Cloud", "", "hybrid", "cloud, local"])
def test_the_header_tightens_any_session(closed, path, mode):
    data = request("POST", path, headers={**closed.auth, "x-processing-mode": mode, "content-length": "5000"})
    with closed.client() as client:
        refused(client.send(data).answer(), KIND.get(path))


@pytest.mark.parametrize("modes", [["cloud", "local"], ["local", "cloud"]])
def test_of_two_headers_the_tighter_holds(closed, modes):
    pairs = [*closed.auth.items(), *(("x-processing-mode", mode) for mode in modes), ("content-length", "5000")]
    with closed.client() as client:
        refused(client.send(request("POST", CHAT, headers=pairs)).answer(), "openai")


@pytest.mark.parametrize("path", PATHS)
def test_a_local_session_gets_no_100_continue(closed, local_token, path):
    headers = {"authorization": f"Bearer {local_token}", "content-length": "5000", "expect": "100-continue"}
    with closed.client() as client:
        refused(client.send(request("POST", path, headers=headers)).answer(), KIND.get(path))


def test_the_header_gets_no_100_continue(closed):
    headers = {**closed.auth, "x-processing-mode": "local", "content-length": "5000", "expect": "100-continue"}
    with closed.client() as client:
        refused(client.send(request("POST", CHAT, headers=headers)).answer(), "openai")


def test_the_header_does_not_loosen_a_local_session(closed, local_token):
    headers = {"authorization": f"Bearer {local_token}", "x-processing-mode": "cloud", "content-length": "5000"}
    with closed.client() as client:
        refused(client.send(request("POST", CHAT, headers=headers)).answer(), "openai")


def test_a_cloud_session_gets_its_100_continue_and_its_answer(running):
    path, body = prompt("openai")
    headers = {**running.auth, "x-processing-mode": "cloud", "content-length": str(len(body)), "expect": "100-continue"}
    with running.client() as client:
        client.send(request("POST", path, headers=headers))
        assert client.head().status == 100
        answer = client.send(body).answer()
    assert (answer.status, answer.complete) == (200, True)


def test_a_bad_token_gets_no_100_continue(closed):
    headers = {"authorization": "Bearer nothing", "content-length": "5000", "expect": "100-continue"}
    with closed.client() as client:
        assert client.send(request("POST", CHAT, headers=headers)).answer().status == 401


def test_refusals_are_counted(closed, local_token):
    def counted():
        text = ask(closed.gateway.internal, request("GET", "/metrics")).body.decode()
        [line] = [line for line in text.splitlines() if line.startswith("codegrex_local_mode_refusals_total ")]
        return int(line.split()[1])

    before = counted()
    data = request("POST", CHAT, headers={"authorization": f"Bearer {local_token}", "content-length": "5"})
    with closed.client() as client:
        refused(client.send(data).answer(), "openai")
    assert counted() == before + 1


@pytest.mark.parametrize("path", ["/v1/account", "/account", "/v1/requests/req_" + "0" * 32])
def test_a_local_session_reads_its_own_account(closed, local_token, path):
    answer = ask(closed.gateway.url, request("GET", path, headers={"authorization": f"Bearer {local_token}"}))
    if "requests" in path:
        assert (answer.status, answer.code) == (404, "not_found")
        return
    assert answer.status == 200
    assert answer.json()["mode"] == "local"
    assert answer.json()["credits"]["available"] == 10_000_000
