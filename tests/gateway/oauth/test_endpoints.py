"""Sign in by device code with an independent client, refresh, be revoked: on a real gateway of two workers.

A person's consent is written into the store here; the device knows nothing of that.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import urlencode

import pytest
from authlib.integrations.base_client.errors import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from benchmarks import processes
from benchmarks.simulator import SimulatorProcess
from gateway.oauth import device
from metering.accounts.audit import read_audit
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import CHAT, eventually
from tests.raw_http import RawClient, ask, request

DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"
BODY = b'{"model": "%b", "stream": true, "messages": [{"role": "user", "content": "hi"}]}'
USER = "user"
WORKERS = 2


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as sim:
        yield sim


@pytest.fixture(scope="module")
def gateway(tmp_path_factory, sim):
    gateway = GatewayProcess(
        tmp_path_factory.mktemp("gateway"),
        {"openai": provider("openai", sim.url)},
        [model("plain", "openai", "gpt-4o"), model("paced", "openai", "gpt-4o@chunks-2000@pace-10ms")],
        {"oauth": {"clients": {"other-app": {"title": "Other"}}}},
        workers=WORKERS,
    )
    gateway.session(USER, 100_000)
    with gateway:
        yield gateway


def approve(gateway, code):
    return gateway.for_account(lambda store, key, pid: device.approve(store.client, key, code, pid=pid, tier="default"))


def form(gateway, path, **parameters):
    body = urlencode(parameters).encode()
    answer = ask(
        gateway.url, request("POST", path, body, headers={"content-type": "application/x-www-form-urlencoded"})
    )
    assert answer.headers["cache-control"] == "no-store"
    assert answer.headers["content-type"] == "application/json"
    return answer


def begin(gateway, **more):
    return form(gateway, "/oauth/device_authorization", client_id="codegrex-ide", **more).json()


def sign_in(gateway):
    started = begin(gateway, app_version="1.2.3", platform="linux-x64")
    assert approve(gateway, started["user_code"])
    return form(
        gateway,
        "/oauth/token",
        grant_type=DEVICE_GRANT,
        device_code=started["device_code"],
        client_id="codegrex-ide",
    ).json()


def refresh(gateway, token, **more):
    return form(gateway, "/oauth/token", grant_type="refresh_token", refresh_token=token, **more)


def revocations(gateway):
    """Who has revoked sessions of the user so far, as the audit stream has it."""

    async def found(store, _key, pid):
        return [one.actor async for one in read_audit(store) if (one.action, one.pid) == ("revoked", pid)]

    return gateway.for_account(found)


def chat(token, name="plain"):
    return request("POST", CHAT, BODY % name.encode(), headers={"authorization": f"Bearer {token}"})


def error(answer):
    return answer.status, answer.json()["error"]


def test_an_independent_client_signs_in_streams_refreshes_and_signs_out(gateway):
    metadata = ask(gateway.url, request("GET", "/.well-known/oauth-authorization-server")).json()
    assert metadata["scopes_supported"] == ["inference"]
    assert metadata["issuer"] == "http://gateway.test"  # what this request's Host says
    base = gateway.url
    client = OAuth2Session("codegrex-ide", token_endpoint_auth_method="none")
    started = client.post(f"{base}/oauth/device_authorization", data={"client_id": "codegrex-ide"}, withhold_token=True)
    codes = started.json()
    assert codes["verification_uri"] == f"{base}/device"
    assert codes["verification_uri_complete"] == f"{base}/device?user_code={codes['user_code']}"
    assert (codes["expires_in"], codes["interval"]) == (600, 5)

    def poll():
        return client.fetch_token(
            f"{base}/oauth/token",
            grant_type=DEVICE_GRANT,
            device_code=codes["device_code"],
        )

    told = []
    for _ in range(2):
        with pytest.raises(OAuthError) as refused:
            poll()
        told.append(refused.value.error)
    assert told == ["authorization_pending", "slow_down"]

    assert approve(gateway, codes["user_code"])
    token = poll()
    assert (token["token_type"], token["expires_in"], token["scope"]) == ("Bearer", 900, "inference")
    assert client.get(f"{base}/v1/models").status_code == 200

    again = client.refresh_token(f"{base}/oauth/token", refresh_token=token["refresh_token"])
    assert again["refresh_token"] != token["refresh_token"]
    assert client.get(f"{base}/v1/account").status_code == 200

    assert client.revoke_token(f"{base}/oauth/revoke", token=again["refresh_token"]).status_code == 200
    refused = client.get(f"{base}/v1/models")
    assert (refused.status_code, refused.headers["x-error-code"]) == (401, "token_revoked")
    with pytest.raises(OAuthError) as ended:
        client.refresh_token(f"{base}/oauth/token", refresh_token=again["refresh_token"])
    assert ended.value.error == "invalid_grant"


def test_of_polls_that_race_on_all_workers_one_gets_the_token(gateway):
    started = begin(gateway)
    assert approve(gateway, started["user_code"])

    def poll(_):
        return form(
            gateway,
            "/oauth/token",
            grant_type=DEVICE_GRANT,
            device_code=started["device_code"],
            client_id="codegrex-ide",
        )

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(poll, range(8)))
    assert sorted(answer.status for answer in answers) == [200] + [400] * 7
    assert {answer.json()["error"] for answer in answers if answer.status == 400} == {"invalid_grant"}


def test_denied(gateway):
    started = begin(gateway)
    assert gateway.for_account(lambda store, key, _pid: device.deny(store.client, key, started["user_code"]))
    answer = form(
        gateway, "/oauth/token", grant_type=DEVICE_GRANT, device_code=started["device_code"], client_id="codegrex-ide"
    )
    assert error(answer) == (400, "access_denied")


def test_refreshes_that_race_get_one_pair_of_tokens(gateway):
    token = sign_in(gateway)
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: refresh(gateway, token["refresh_token"]).json(), range(8)))
    assert len({(answer["access_token"], answer["refresh_token"]) for answer in answers}) == 1
    assert ask(gateway.url, chat(answers[0]["access_token"])).complete


def test_reuse_revokes_on_every_worker(gateway):
    first = sign_in(gateway)
    second = refresh(gateway, first["refresh_token"]).json()
    third = refresh(gateway, second["refresh_token"]).json()
    before = revocations(gateway)
    for _ in range(10):  # every worker knows it
        assert ask(gateway.url, chat(third["access_token"])).status == 200
    assert error(refresh(gateway, first["refresh_token"])) == (400, "invalid_grant")
    eventually(
        lambda: [ask(gateway.url, chat(third["access_token"])).code for _ in range(10)],
        lambda codes: codes == ["token_revoked"] * 10,
    )
    assert error(refresh(gateway, third["refresh_token"])) == (400, "invalid_grant")
    assert error(refresh(gateway, first["refresh_token"])) == (400, "invalid_grant")
    assert revocations(gateway) == [*before, "gateway"]


def test_a_revocation_ends_running_streams_on_every_worker(gateway):
    token = sign_in(gateway)
    clients = [RawClient(gateway.url).send(chat(token["access_token"], "paced")) for _ in range(8)]
    for client in clients:
        assert client.head().status == 200
        assert client.chunk()
    assert form(gateway, "/oauth/revoke", token=token["refresh_token"]).status == 200
    for client in clients:  # 2,000 chunks of 10 ms would be 20 s
        chunks = [chunk for chunk in iter(client.chunk, None) if chunk]
        assert b"token_revoked" in b"".join(chunks)
        assert b"[DONE]" not in b"".join(chunks)
        assert len(chunks) < 1_000
        client.close()
    assert ask(gateway.url, chat(token["access_token"])).code == "token_revoked"


def test_revoking_an_access_token_ends_its_session_and_what_is_unknown_is_fine(gateway):
    token = sign_in(gateway)
    before = revocations(gateway)
    for nothing in ("x", "cgx_rt_" + "0" * 20 + "_" + "0" * 54, "cgx_at_" + "0" * 20 + "_" + "0" * 43):
        assert form(gateway, "/oauth/revoke", token=nothing).status == 200
    for _ in range(2):
        assert form(gateway, "/oauth/revoke", token=token["access_token"], token_type_hint="access_token").status == 200
    assert error(refresh(gateway, token["refresh_token"])) == (400, "invalid_grant")
    assert revocations(gateway) == [*before, "app"]  # once, and for a session that was there


def test_the_command_line_revokes_at_once(gateway):
    from tests.gateway_process import run_cli

    token = sign_in(gateway)
    for _ in range(10):
        assert ask(gateway.url, chat(token["access_token"])).status == 200
    assert run_cli("sessions", "revoke", token["access_token"], config=gateway.config) == [{"revoked": 1}]
    eventually(lambda: ask(gateway.url, chat(token["access_token"])).code, lambda code: code == "token_revoked")


def test_unknown_and_wrong_look_the_same(gateway):
    token = sign_in(gateway)
    bodies = set()
    for wrong in ("x", "cgx_rt_" + "0" * 20 + "_" + "0" * 54, token["refresh_token"][:-1] + "!"):
        answer = refresh(gateway, wrong)
        bodies.add((answer.status, answer.body))
    assert len(bodies) == 1


@pytest.mark.parametrize(
    ("path", "parameters", "status", "code"),
    [
        ("/oauth/device_authorization", {}, 401, "invalid_client"),
        ("/oauth/device_authorization", {"client_id": "nobody"}, 401, "invalid_client"),
        ("/oauth/device_authorization", {"client_id": "codegrex-ide", "scope": "all"}, 400, "invalid_scope"),
        ("/oauth/token", {}, 400, "invalid_request"),
        ("/oauth/token", {"grant_type": "password"}, 400, "unsupported_grant_type"),
        ("/oauth/token", {"grant_type": DEVICE_GRANT, "client_id": "codegrex-ide"}, 400, "invalid_request"),
        ("/oauth/token", {"grant_type": DEVICE_GRANT, "client_id": "codegrex-ide", "device_code": "x"}, 400, "invalid_grant"),
        ("/oauth/token", {"grant_type": "refresh_token"}, 400, "invalid_request"),
        ("/oauth/token", {"grant_type": "refresh_token", "refresh_token": "x", "app_version": "my-own-word"}, 400, "invalid_grant"),
        ("/oauth/revoke", {}, 400, "invalid_request"),
        ("/oauth/nothing", {}, 404, "invalid_request"),
        ("/oauth/token", {"grant_type": "x" * 10_000}, 413, "invalid_request"),
    ],
)  # fmt: skip
def test_what_is_refused(gateway, path, parameters, status, code):
    answer = form(gateway, path, **parameters)
    assert error(answer) == (status, code)
    assert answer.headers["x-error-origin"] == "gateway"
    assert "error_description" in answer.json()


def test_another_app_signs_in_with_its_own_codes_alone(gateway):
    started = form(gateway, "/oauth/device_authorization", client_id="other-app").json()
    assert approve(gateway, started["user_code"])
    poll = {"grant_type": DEVICE_GRANT, "device_code": started["device_code"]}
    assert error(form(gateway, "/oauth/token", client_id="codegrex-ide", **poll)) == (400, "invalid_grant")
    token = form(gateway, "/oauth/token", client_id="other-app", **poll).json()
    assert error(refresh(gateway, token["refresh_token"], client_id="codegrex-ide")) == (400, "invalid_grant")
    assert refresh(gateway, token["refresh_token"], client_id="other-app").status == 200


def test_what_is_no_form(gateway):
    headers = {"content-type": "application/json"}
    answer = ask(gateway.url, request("POST", "/oauth/token", json.dumps({"a": 1}).encode(), headers=headers))
    assert error(answer) == (400, "invalid_request")
    headers = {"content-type": "application/x-www-form-urlencoded"}
    for body in (b"grant_type=a&grant_type=b", b"no form", b"a=%ff&\xff"):
        answer = ask(gateway.url, request("POST", "/oauth/token", body, headers=headers))
        assert error(answer) == (400, "invalid_request")
    assert ask(gateway.url, request("GET", "/oauth/token")).status == 405
    assert ask(gateway.url, request("POST", "/.well-known/oauth-authorization-server", b"")).status == 405


def test_the_example_signs_in_streams_and_is_revoked(gateway):
    """examples/sign_in.py, as somebody runs it."""
    import subprocess
    import sys
    from pathlib import Path

    script = Path(__file__).parents[3] / "examples/sign_in.py"
    process = processes.start([sys.executable, script, gateway.url, "paced"], stdout=subprocess.PIPE)
    line = process.stdout.readline().decode()
    assert line.startswith(f"Open {gateway.url}/device and enter ")
    code = line.split()[-1]
    assert approve(gateway, code)
    assert process.stdout.readline() == b"signed in\n"
    assert process.stdout.read(1)  # it streams

    from gateway.auth import revocation, sessions

    async def revoke(store):
        live = [session for session in await sessions.all_held(store.client) if session.platform == "linux-example"]
        assert [await revocation.revoke(store, session.sid, actor="cli") for session in live] == [True]

    gateway.on_store(revoke)
    rest = process.stdout.read()
    assert process.wait(20) == 0
    assert rest.endswith(b"\nended: token_revoked\n")
    assert len(rest) < 10_000  # 2,000 chunks were to come
