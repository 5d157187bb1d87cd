"""What one network may ask of the sign-in endpoints, and that nobody else is shut out by it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from urllib.parse import urlencode

from gateway.auth import attempts
from tests.gateway_process import GatewayProcess, model, provider
from tests.raw_http import ask, request

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
WINDOWS = 3  # that a test may stretch over


def form(gateway, path, network, **parameters):
    headers = {"content-type": "application/x-www-form-urlencoded", "x-forwarded-for": f"192.0.{network}.7"}
    body = urlencode({"client_id": "codegrex-ide", **parameters}).encode()
    return ask(gateway.url, request("POST", path, body, headers=headers))


def guess(gateway, number):
    return form(gateway, "/oauth/token", 3, grant_type=DEVICE_GRANT, device_code=f"guess-{number}")


def limited(answer):
    assert answer.status == 429
    assert answer.json()["error"] == "temporarily_unavailable"
    assert answer.headers["x-error-code"] == "rate_limited"
    assert 1 <= int(answer.headers["retry-after"]) <= attempts.WINDOW_S
    return True


def test_a_network_is_limited_and_another_goes_on(tmp_path):
    gateway = GatewayProcess(
        tmp_path,
        {"openai": provider("openai", "http://127.0.0.1:9")},
        [model("plain", "openai", "gpt-4o")],
        {"server": {"behind_tls_proxy": True}},
        workers=2,
    )
    with gateway:
        granted = 0
        while (started := form(gateway, "/oauth/device_authorization", 1)).status == 200:
            granted += 1
            assert granted < WINDOWS * attempts.GRANTS_PER_PREFIX
        assert limited(started)
        assert granted >= attempts.GRANTS_PER_PREFIX
        codes = form(gateway, "/oauth/device_authorization", 2).json()

        for number in range(attempts.FAILED_LOOK_UPS + 20):
            polled = guess(gateway, number)
            assert (polled.status, polled.json()["error"]) == (400, "invalid_grant")
        polled = form(gateway, "/oauth/token", 3, grant_type=DEVICE_GRANT, device_code=codes["device_code"])
        assert polled.json()["error"] == "authorization_pending"  # also from the network that guesses


def test_a_valid_token_passes_whatever_its_neighbours_send(tmp_path):
    """A balancer, an office or a telephone network is one address for many people."""
    gateway = GatewayProcess(
        tmp_path, {"openai": provider("openai", "http://127.0.0.1:9")}, [model("plain", "openai", "gpt-4o")]
    )
    with gateway:
        token = gateway.session()["access_token"]

        def models(token):
            return ask(gateway.url, request("GET", "/v1/models", headers={"authorization": f"Bearer {token}"})).status

        for number in range(attempts.FAILED_LOOK_UPS + 30):
            wrong = token[:-8] + f"{number:08d}"  # of the gateway's form, so that it is looked up
            assert models(wrong) == 401
        assert models(token) == 200  # not known to the worker before


def test_what_one_network_asks_of_the_store_is_one_look_up_at_a_time(tmp_path):
    """Each endpoint that looks a secret up: with many wrong ones at once, the store still has one call to answer."""
    gateway = GatewayProcess(
        tmp_path, {"openai": provider("openai", "http://127.0.0.1:9")}, [model("plain", "openai", "gpt-4o")]
    )
    with gateway:
        made = [gateway.session(f"user-{number}")["access_token"] for number in range(2)]
        wrong = made[0][:-8] + "x" * 8
        calls = [
            partial(form, gateway, "/oauth/revoke", 1, token=wrong),
            partial(form, gateway, "/oauth/token", 1, grant_type=DEVICE_GRANT, device_code="wrong"),
            partial(form, gateway, "/oauth/token", 1, grant_type="refresh_token", refresh_token="wrong"),
        ]
        for number in range(attempts.FAILED_LOOK_UPS + 20):
            answer = calls[number % len(calls)]()
            assert answer.status == (200 if number % len(calls) == 0 else 400)
        with ThreadPoolExecutor(20) as threads:
            flood = [threads.submit(calls[0]) for _ in range(200)]
            assert form(gateway, "/oauth/revoke", 1, token=made[1]).status == 200  # it waits its turn, and passes
            assert {done.result().status for done in flood} == {200}
        answer = ask(gateway.url, request("GET", "/v1/models", headers={"authorization": f"Bearer {made[1]}"}))
        assert (answer.status, answer.code) == (401, "token_revoked")
