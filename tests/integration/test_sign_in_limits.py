"""What one network may ask of the sign-in endpoints: started sign-ins over all workers, wrong device codes at each."""

from __future__ import annotations

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

        wrong = 0
        while (polled := guess(gateway, wrong)).status == 400:
            assert polled.json()["error"] == "invalid_grant"
            wrong += 1
            assert wrong < WINDOWS * 2 * attempts.FAILED_TOKENS
        assert limited(polled)
        assert wrong >= attempts.FAILED_TOKENS
        polled = form(gateway, "/oauth/token", 2, grant_type=DEVICE_GRANT, device_code=codes["device_code"])
        assert polled.json()["error"] == "authorization_pending"
