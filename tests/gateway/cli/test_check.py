"""``check``, also against providers' model lists on this machine."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from gateway.config.load import load
from tests.gateway.cli.commands import CONFIG, Command, command
from tests.raw_provider import RawProvider, Request, body

__all__ = ["command"]


def test_check_says_what_would_be_served(command: Command) -> None:
    [found] = command("check", "--json").lines
    [statement] = found.pop("statements")
    assert {"name", "company", "region", "retention_days", "training"} <= statement.keys()
    [served] = found.pop("handling")
    target = {"provider": "openai", "model": "gpt-x", "retention_days": 30, "training": False, "region": "us"}
    assert served == {"name": "m", "targets": [target]}
    [place] = found.pop("egress")
    assert (place["for"], place["prompts"]) == ("providers.openai", True)
    paths = found.pop("paths")["openai"]
    assert paths["openai.chat"] == f"https://{place['host'].removesuffix(':443')}/v1/chat/completions"
    assert {operation.partition(".")[0] for operation in paths} == {"openai"}
    assert found == {
        "valid": True,
        "faults": [],
        "warnings": [],
        "providers": ["openai"],
        "models": 1,
        "price_version": load_version(command),
    }
    shown = command("check").out
    assert "the configuration is valid" in shown
    assert place["host"] in shown.split("connects to")[1]
    assert all(url in shown.split("asks")[1] for url in paths.values())
    assert not (command.folder / "data").exists()


def test_check_shows_the_whole_address_of_each_operation(command: Command) -> None:
    command.configure(
        provider("glm", "openai", "https://h.example/api/paas/v4", '"env:LIVE"')
        + provider("claude", "anthropic", "https://h.example/api/anthropic", '"env:LIVE"')
        + provider("gemini", "google", "https://h.example/v1", '"env:LIVE"')
        + '[[models]]\nname = "m"\ntargets = [{provider = "glm", model = "m"}]\nprice = {input = 1, output = 2}\n'
        "context_window = 1000\nmax_output = 100\n"
    )
    paths = json.loads(command("check", "--json", env={"LIVE": GOOD}).out)["paths"]
    assert paths["glm"]["openai.responses"] == "https://h.example/api/paas/v4/responses"
    assert paths["claude"]["anthropic.count_tokens"] == "https://h.example/api/anthropic/v1/messages/count_tokens"
    assert paths["gemini"]["gemini.stream"] == "https://h.example/v1/models/MODEL:streamGenerateContent"


def load_version(command: Command) -> str:
    from gateway.catalog import catalog

    return catalog.load(load(command.folder / "gateway.toml", {}, need_keys=False)).price_version


def test_check_names_faults_as_json_too(command: Command) -> None:
    command.configure(CONFIG.replace("input = 1, ", ""))
    done = command("check", "--json")
    assert done.code == 1
    assert json.loads(done.out) == {
        "valid": False,
        "faults": [
            {
                "key": "models[0].price.input",
                "wrong": "is missing",
                "fix": "state it in USD per million tokens",
            }
        ],
    }


def test_check_finds_a_model_that_nobody_prices(command: Command) -> None:
    unpriced = CONFIG.replace("price = {input = 1, output = 2}", "")
    command.configure(unpriced)
    done = command("check")
    assert done.code == 1
    assert done.err.startswith(
        "error: models[0].targets[0].price: is missing, and no published price holds for that host"
    )
    command.configure(unpriced.replace('region = "us"', 'region = "global"'))
    done = command("check")
    assert done.code == 1
    assert done.err.startswith("error: models[0].targets[0].price: is missing, and none is published; ")


GOOD = "good-key-for-the-live-check"


class ModelLists(BaseHTTPRequestHandler):
    """The three APIs' model lists; every key but one is refused with a body that quotes it."""

    def do_GET(self) -> None:
        keys = (self.headers.get(name, "") for name in ("authorization", "x-api-key", "x-goog-api-key"))
        key = "".join(keys).removeprefix("Bearer ")
        status, body = 200, {"data": [], "models": [], "has_more": False, "first_id": None, "last_id": None}
        if self.path.startswith("/limited"):
            status, body = 429, {"error": {"message": key, "code": 429}}
        elif self.path.partition("?")[0] not in ("/v1/models", "/v1beta/models", "/paas/v4/models"):
            status, body = 404, {"error": {"message": self.path, "code": 404}}
        elif key != GOOD:
            status, body = 401, {"error": {"message": f"bad key {key}", "code": 401, "status": "UNAUTHENTICATED"}}
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture(scope="module")
def model_lists() -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), ModelLists) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()
        thread.join()


def provider(name: str, kind: str, base_url: str, keys: str = '["env:LIVE", "env:CLI_TEST_KEY"]') -> str:
    return (
        f'[providers.{name}]\nkind = "{kind}"\nbase_url = "{base_url}"\napi_keys = {keys}\n'
        'retention_days = 0\ntraining = false\nregion = "us"\n'
    )


def test_check_live_asks_each_provider_through_its_sdk(command: Command, model_lists: str) -> None:
    kinds = ("openai", "anthropic", "google")
    command.configure("".join(provider(kind, kind, model_lists) for kind in kinds))
    misleading = {
        "http_proxy": "http://127.0.0.1:1",
        "ANTHROPIC_AUTH_TOKEN": "another",
        "ANTHROPIC_BASE_URL": "http://127.0.0.1:1",
        "OPENAI_BASE_URL": "http://127.0.0.1:1",
        "GOOGLE_GENAI_USE_VERTEXAI": "true",
    }
    done = command("check", "--live", "--json", env={"LIVE": GOOD, **misleading})
    assert (done.code, done.err) == (1, "")
    assert GOOD not in done.out
    found = [(live["provider"], live["key"], live["ok"]) for live in json.loads(done.out)["live"]]
    expected = [(kind, key, key.startswith("1")) for kind in kinds for key in ("1 of 2", "2 of 2")]
    assert found == [*expected, ("store", "", True)]
    messages = {live["message"] for live in json.loads(done.out)["live"] if not live["ok"]}
    assert messages == {"rejected: the key is not valid"}
    assert not (command.folder / "data").exists()


def test_check_live_is_content_with_keys_that_work(command: Command, model_lists: str) -> None:
    command.configure(provider("openai", "openai", model_lists, '"env:LIVE"'))
    done = command("check", "--live", env={"LIVE": GOOD})
    assert (done.code, done.err) == (0, "")
    assert "accepted" in done.out


def test_check_live_asks_where_the_gateway_would(command: Command, model_lists: str) -> None:
    kinds = ("openai", "anthropic", "google")
    command.configure("".join(provider(kind, kind, f"{model_lists}/paas/v4", '"env:LIVE"') for kind in kinds))
    done = command("check", "--live", "--json", env={"LIVE": GOOD})
    assert [live["message"] for live in json.loads(done.out)["live"]] == ["accepted"] * 4


def test_check_live_tells_a_wrong_path_a_limit_and_silence_apart(command: Command, model_lists: str) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), BaseHTTPRequestHandler) as server:
        closed = server.server_address[1]
    command.configure(
        provider("a", "openai", f"{model_lists}/elsewhere", '"env:LIVE"')
        + provider("b", "anthropic", f"{model_lists}/limited", '"env:LIVE"')
        + provider("c", "google", f"http://127.0.0.1:{closed}", '"env:LIVE"')
    )
    done = command("check", "--live", "--json", env={"LIVE": GOOD})
    assert done.code == 1
    a, b, c, _ = (live["message"] for live in json.loads(done.out)["live"])
    assert a.startswith("no such path: check base_url")
    assert b == "accepted, but its rate or quota is used up"
    assert c.startswith("not reachable (")


def test_check_live_asks_clouds_for_what_costs_nothing(command: Command) -> None:
    key = rsa.generate_private_key(65_537, 2_048).private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )

    def answer(request: Request, _sock: object) -> bytes:
        if request.path == "/token":
            return body({"access_token": "t", "expires_in": 60})
        if request.path == "/refused":
            return body({"error": "invalid_grant"}, status="400 Bad Request")
        if b"Bearer wrong-key" in request.head:
            return body({"message": "no"}, status="403 Forbidden", x_amzn_errortype="UnrecognizedClientException")
        return body({"message": "no such model"}, status="400 Bad Request", x_amzn_errortype="ValidationException")

    with RawProvider() as cloud:
        cloud.script = answer
        for name in ("token", "refused"):
            account = {"type": "service_account", "client_email": "a@b", "private_key": key.decode(),
                       "token_uri": f"{cloud.url}/{name}"}  # fmt: skip
            (command.folder / f"{name}.json").write_text(json.dumps(account))
        stated = f'base_url = "{cloud.url}"\nretention_days = 0\ntraining = false\nregion = "eu"\n'
        vertex = 'kind = "vertex"\napi = "google"\nproject = "p1"\nlocation = "eu"\n' + stated
        command.configure(
            f'[providers.a]\n{vertex}credentials = "token.json"\n'
            f'[providers.b]\n{vertex}credentials = "refused.json"\n'
            f'[providers.c]\nkind = "bedrock"\nlocation = "eu-west-1"\napi_keys = ["AKIA:secret", "wrong-key"]\n{stated}'
            '[[models]]\nname = "m"\ntargets = [{provider = "c", model = "x"}]\nprice = {input = 1, output = 2}\n'
        )
        done = command("check", "--live", "--json")
    assert done.code == 1
    assert [(live["provider"], live["ok"], live["message"]) for live in json.loads(done.out)["live"]] == [
        ("a", True, "accepted: a token was issued"),
        ("b", False, "no token was issued: check credentials, the service account and the network"),
        ("c", True, "accepted"),
        ("c", False, "rejected: the key is not valid"),
        ("store", True, "accepted"),
    ]
    assert {request.path for request in cloud.seen} == {"/token", "/refused", "/model/anthropic.none/invoke"}


def test_check_live_without_the_sdk_says_how_to_get_it(command: Command) -> None:
    program = "import sys; sys.modules['openai'] = None\nfrom gateway.cli import main; main()"
    done = command("check", "--live", program=program)
    assert done.code == 1
    assert done.err == (
        "error: --live needs the package openai, which is not installed; "
        "install it with: pip install 'codegrex-gateway[sdk]'\n"
    )


def test_check_warns_of_models_that_their_makers_have_switched_off(command: Command) -> None:
    command.configure(CONFIG.replace('"gpt-x"', '"gpt-4-0613"'))
    [warning] = command("check", "--json").lines[0]["warnings"]
    assert warning.startswith("models: m: gpt-4-0613 at openai was switched off by its maker on 2026-10-23: name")


def test_check_warns_where_a_provider_keeps_for_longer_than_is_stated(command: Command) -> None:
    command.configure(
        CONFIG.replace("retention_days = 30", "retention_days = 0").replace('"gpt-x"', '"claude-fable-5"')
    )
    [found] = command("check", "--json").lines
    [warning] = found["warnings"]
    assert "retention_days = 0 of providers.openai is too low" in warning
    assert found["handling"][0]["targets"][0]["retention_days"] == 30
    shown = command("check")
    assert shown.code == 0
    assert f"warning: {warning}" in shown.out
    command.configure(CONFIG + "[policy]\nmax_retention_days = 29\n")
    [warning] = command("check", "--json").lines[0]["warnings"]
    assert warning.startswith(
        "policy.max_retention_days: 1 of 1 models have no target that keeps prompts for at most 29 days"
    )
    assert "(m)" in warning
    command.configure(CONFIG + "[policy]\nmax_retention_days = 30\n")
    assert command("check", "--json").lines[0]["warnings"] == []


def test_check_warns_of_models_that_cache_by_themselves(command: Command) -> None:
    newer = CONFIG.split("[[models]]")[1].replace('"m"', '"new"').replace('"gpt-x"', '"gpt-5.6"')
    command.configure(CONFIG + "[[models]]" + newer + '[policy]\ncache_isolation = "none"\n')
    [warning] = command("check", "--json").lines[0]["warnings"]
    assert warning.startswith("policy.cache_isolation: 1 of 2 models cache prompts unasked")
    assert "(m)" in warning
