"""Every error of the table as the exception of each SDK; nothing of it is held or charged.

The synchronous clients raise each error for a JSON answer and for a stream; the asynchronous ones are
asked for a choice of both, since their transport differs and their error mapping does not.
"""

from __future__ import annotations

import asyncio
import fcntl
import itertools
import json
import os
import signal
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import anthropic
import openai
import pytest
import redis
from click.testing import CliRunner
from google import genai
from google.api_core import exceptions as legacy
from google.genai import errors as google_errors
from google.genai import types

from benchmarks.simulator import MARK
from gateway.auth.principal import session_key, sid_of
from gateway.cli import cli
from tests.integration.sdk_stack import Account, Stack, as_bill, make_gateway, open_store

with warnings.catch_warnings():
    warnings.simplefilter("ignore", FutureWarning)  # it announces its own end
    import google.generativeai as former

pytest_plugins = ("tests.integration.sdk_fixtures",)

ASK: list[Any] = [{"role": "user", "content": "Say something."}]
KIND = {"openai": "openai", "anthropic": "anthropic", "genai": "google", "generativeai": "google"}
BASE = {"openai": "gpt-4o", "anthropic": "claude-haiku-4-5", "google": "gemini-2.5-flash"}
SDKS = tuple(KIND)
# The exception of each SDK for a status. google-genai has one for each half of the statuses, and
# google-generativeai has none of its own for some.
TYPES: dict[int, tuple[type[Exception], ...]] = {
    400: (openai.BadRequestError, anthropic.BadRequestError, google_errors.ClientError, legacy.BadRequest),
    401: (openai.AuthenticationError, anthropic.AuthenticationError, google_errors.ClientError, legacy.Unauthorized),
    402: (openai.APIStatusError, anthropic.PaymentRequiredError, google_errors.ClientError, legacy.GoogleAPICallError),
    403: (openai.PermissionDeniedError, anthropic.PermissionDeniedError, google_errors.ClientError, legacy.Forbidden),
    404: (openai.NotFoundError, anthropic.NotFoundError, google_errors.ClientError, legacy.NotFound),
    413: (openai.APIStatusError, anthropic.RequestTooLargeError, google_errors.ClientError, legacy.GoogleAPICallError),
    429: (openai.RateLimitError, anthropic.RateLimitError, google_errors.ClientError, legacy.TooManyRequests),
    500: (
        openai.InternalServerError,
        anthropic.InternalServerError,
        google_errors.ServerError,
        legacy.InternalServerError,
    ),
    502: (openai.InternalServerError, anthropic.InternalServerError, google_errors.ServerError, legacy.BadGateway),
    503: (
        openai.InternalServerError,
        anthropic.ServiceUnavailableError,
        google_errors.ServerError,
        legacy.ServiceUnavailable,
    ),
    504: (openai.InternalServerError, anthropic.APIStatusError, google_errors.ServerError, legacy.GatewayTimeout),
    529: (openai.InternalServerError, anthropic.OverloadedError, google_errors.ServerError, legacy.GoogleAPICallError),
}


@dataclass
class Raised:
    """An SDK's exception, by what every SDK lets its users see."""

    error: Exception
    status: int
    code: str | None
    message: str
    headers: dict[str, str]


def refined(sdk: str, error: Exception) -> Raised:
    found: Any = error
    headers = {name.lower(): value for name, value in found.response.headers.items()}
    if sdk == "openai":
        return Raised(error, found.status_code, found.code, found.body["message"], headers)
    if sdk == "anthropic":
        inner = found.body["error"]
        code = (inner.get("details") or {}).get("error_code")
        return Raised(error, found.status_code, code, inner["message"], headers)
    if sdk == "genai":
        inner = found.details["error"]
        reasons = [detail["reason"].lower() for detail in inner.get("details", ()) if "reason" in detail]
        return Raised(error, found.code, reasons[0] if reasons else None, found.message, headers)
    reasons = [detail["reason"].lower() for detail in found.details if "reason" in detail]
    return Raised(error, int(found.code), reasons[0] if reasons else None, found.message, headers)


@dataclass
class Caller:
    """One SDK with one token, asking for a generation in the plainest way."""

    sdk: str
    url: str
    token: str

    @property
    def kind(self) -> str:
        return KIND[self.sdk]

    def ask(self, model: str = "", text: str = "Say something.", *, stream: bool = False, **more: Any) -> str:
        """The text of a whole answer; an SDK's exception where there is none."""
        call: Callable[..., str] = getattr(self, f"_{self.sdk}")
        return call(model or BASE[self.kind], text, stream, **more)

    def raised(self, model: str = "", text: str = "Say something.", *, stream: bool = False, **more: Any) -> Raised:
        """The exception that an SDK raises; it is of the type for its status."""
        with pytest.raises(Exception) as caught:
            self.ask(model, text, stream=stream, **more)
        if getattr(caught.value, "response", None) is None:
            raise caught.value
        found = refined(self.sdk, caught.value)
        assert isinstance(found.error, TYPES[found.status][SDKS.index(self.sdk)])
        assert found.message
        return found

    def client_openai(self) -> openai.OpenAI:
        return openai.OpenAI(base_url=f"{self.url}/v1", api_key=self.token, max_retries=0, timeout=60)

    def client_anthropic(self) -> anthropic.Anthropic:
        return anthropic.Anthropic(base_url=self.url, api_key=self.token, max_retries=0, timeout=60)

    def client_genai(self) -> genai.Client:
        return genai.Client(api_key=self.token, http_options=types.HttpOptions(base_url=self.url, timeout=60_000))

    def _openai(self, model: str, text: str, stream: bool, **more: Any) -> str:
        messages: Any = [{"role": "user", "content": text}]
        with self.client_openai() as client:
            made: Any = client.chat.completions.create(model=model, messages=messages, stream=stream, **more)
            if not stream:
                return str(made.choices[0].message.content)
            return "".join(chunk.choices[0].delta.content or "" for chunk in made)

    def _anthropic(self, model: str, text: str, stream: bool, **more: Any) -> str:
        messages: Any = [{"role": "user", "content": text}]
        with self.client_anthropic() as client:
            if not stream:
                made: Any = client.messages.create(model=model, messages=messages, max_tokens=1000, **more)
                return str(made.content[0].text)
            with client.messages.stream(model=model, messages=messages, max_tokens=1000, **more) as parts:
                return str(parts.get_final_text())

    def _genai(self, model: str, text: str, stream: bool, **more: Any) -> str:
        client = self.client_genai()
        try:
            if not stream:
                return str(client.models.generate_content(model=model, contents=text, **more).text)
            made = client.models.generate_content_stream(model=model, contents=text, **more)
            chunks = list(made)
            assert chunks[-1].candidates, "a stream that ended without an error must have ended whole"
            assert chunks[-1].candidates[0].finish_reason, "a cut stream passed for a whole one"
            return "".join(chunk.text or "" for chunk in chunks)
        finally:
            client.close()

    def _generativeai(self, model: str, text: str, stream: bool, **more: Any) -> str:
        former.configure(api_key=self.token, transport="rest", client_options={"api_endpoint": self.url})
        options: Any = {"retry": None, "timeout": 20}
        made = former.GenerativeModel(model, **more).generate_content(text, stream=stream, request_options=options)
        return "".join(chunk.text for chunk in made if chunk.parts) if stream else str(made.text)


@pytest.fixture(params=SDKS)
def caller(request: pytest.FixtureRequest, stack: Stack) -> Caller:
    return Caller(request.param, stack.url, stack.token)


_NUMBERS = itertools.count(1)  # not of the fixture: it is made again where a module's tests run in two parts


@pytest.fixture(scope="module")
def sessions(sdk_stack: Stack) -> Callable[..., Account]:
    """Makes sessions with the command line, in this process: a second one would cost half a second each."""

    def create(amount: int = 1000, **options: str) -> Account:
        user = f"errors-{next(_NUMBERS)}"
        words = ["sessions", "create", "--config", str(sdk_stack.gateway.config), "--user", user]
        words += ["--credits", str(amount), "--json"]
        for name, value in options.items():
            words += [f"--{name}", value]
        made = json.loads(_cli(words))
        return Account(made["access_token"], made["pid"], sdk_stack.store)

    return create


def _cli(words: list[str]) -> str:
    done = CliRunner().invoke(cli, words, catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.stdout


def own(found: Raised, status: int, code: str) -> None:
    """The gateway's own error: its status, its code where the SDK shows codes, its headers."""
    assert (found.status, found.code) == (status, code)
    assert found.headers["x-error-origin"] == "gateway"
    assert found.headers["x-error-code"] == code
    assert found.headers["x-request-id"].startswith("req_")


def untouched(stack: Stack) -> None:
    """No provider was called, nothing was charged, nothing is held."""
    assert stack.sim.stats()["requests"] == 0
    stack.uncharged()


# -- what the request is refused for ---------------------------------------------------------------


UNSUPPORTED: dict[str, dict[str, Any]] = {
    "openai": {"n": 2},
    "anthropic": {"tools": [{"type": "bash_20250124", "name": "bash"}]},
    "genai": {"config": {"candidate_count": 2}},
    "generativeai": {"generation_config": {"candidate_count": 2}},
}
"""What the API of another company's model has no place for."""


@pytest.mark.parametrize("stream", [False, True])
def test_unsupported_feature(stack: Stack, caller: Caller, stream: bool) -> None:
    foreign = BASE["anthropic" if caller.kind != "anthropic" else "openai"]
    own(caller.raised(foreign, stream=stream, **UNSUPPORTED[caller.sdk]), 400, "unsupported_feature")
    untouched(stack)


INVALID: dict[str, dict[str, Any]] = {
    "openai": {"extra_query": {"key": "k"}},
    "anthropic": {"extra_query": {"key": "k"}},
    # Said twice, in both spellings: nobody can tell which of the two the provider would follow.
    "genai": {"config": {"http_options": {"extra_body": {"toolConfig": {}, "tool_config": {}}}}},
    "generativeai": {"model": "m" * 1000},
}
FILE = "https://generativelanguage.googleapis.com/v1beta/files/one"
KEPT: dict[str, dict[str, Any]] = {
    "openai": {"extra_body": {"previous_response_id": "resp_1"}},
    "anthropic": {"extra_headers": {"anthropic-beta": "files-api-2025-04-14"}},
    "genai": {"config": {"cached_content": "cachedContents/one"}},
    "generativeai": {"system_instruction": {"parts": [{"file_data": {"mime_type": "text/plain", "file_uri": FILE}}]}},
}


def test_invalid_request(stack: Stack, caller: Caller) -> None:
    own(caller.raised(**INVALID[caller.sdk]), 400, "invalid_request")
    untouched(stack)


@pytest.mark.parametrize("caller", [sdk for sdk in SDKS if sdk != "openai"], indirect=True)
def test_privacy_unsupported(stack: Stack, caller: Caller) -> None:
    own(caller.raised(**KEPT[caller.sdk]), 400, "privacy_unsupported")
    untouched(stack)


def test_privacy_unsupported_by_openai(stack: Stack) -> None:
    with Caller("openai", stack.url, stack.token).client_openai() as client:
        calls: list[Callable[[], Any]] = [
            lambda: client.responses.create(model="gpt-4o", input="More.", previous_response_id="resp_1"),
            lambda: client.responses.create(model="gpt-4o", input="More.", background=True),
            lambda: client.responses.retrieve("resp_1"),
            client.files.list,
            client.batches.list,
        ]
        for call in calls:
            with pytest.raises(openai.BadRequestError) as caught:
                call()
            own(refined("openai", caught.value), 400, "privacy_unsupported")
    untouched(stack)


def test_model_not_found(stack: Stack, caller: Caller) -> None:
    own(caller.raised("no-such-model"), 404, "model_not_found")
    untouched(stack)


def test_request_too_large(stack: Stack, caller: Caller) -> None:
    own(caller.raised(text="x" * 300_000, stream=True), 413, "request_too_large")
    untouched(stack)


# -- what the account is refused for ---------------------------------------------------------------


def test_token_invalid(stack: Stack, caller: Caller) -> None:
    caller.token = "cgx_wrong"
    found = caller.raised()
    own(found, 401, "token_invalid")
    assert found.headers["www-authenticate"].startswith("Bearer ")
    untouched(stack)


def test_token_expired(stack: Stack, caller: Caller, sessions: Callable[..., Account]) -> None:
    caller.token = sessions().token
    sid = sid_of(caller.token)
    assert sid is not None
    stack.store.hset(session_key(sid), "expires", 1)
    found = caller.raised(stream=True)
    own(found, 401, "token_expired")
    assert found.headers["www-authenticate"].startswith("Bearer ")
    untouched(stack)


def test_token_revoked(stack: Stack, caller: Caller, sessions: Callable[..., Account]) -> None:
    caller.token = sessions().token
    sid = sid_of(caller.token)
    assert sid is not None
    _cli(["sessions", "revoke", "--config", str(stack.gateway.config), sid])
    own(caller.raised(), 401, "token_revoked")
    untouched(stack)


def test_credits_exhausted(stack: Stack, caller: Caller, sessions: Callable[..., Account]) -> None:
    poor = sessions(0)
    caller.token = poor.token
    found = caller.raised(stream=True)
    own(found, 402, "credits_exhausted")
    assert found.headers["x-should-retry"] == "false"
    assert "retry-after" not in found.headers
    assert int(found.headers["x-credits-needed"]) > 0
    assert found.headers["x-credits-available"] == found.headers["x-credits-held"] == "0"
    poor.let_go()
    untouched(stack)


def test_local_mode(stack: Stack, caller: Caller, sessions: Callable[..., Account]) -> None:
    caller.token = sessions(mode="local").token
    own(caller.raised(text="x" * 1000), 403, "local_mode")
    untouched(stack)


@pytest.mark.parametrize("value", ["local", "LOCAL", "anything", ""])
def test_local_mode_of_one_request(stack: Stack, value: str) -> None:
    caller = Caller("openai", stack.url, stack.token)
    own(caller.raised(extra_headers={"x-processing-mode": value}), 403, "local_mode")
    untouched(stack)


def test_model_not_in_plan(stack: Stack, caller: Caller, sessions: Callable[..., Account]) -> None:
    own(caller.raised(f"{caller.kind}-pro"), 403, "model_not_in_plan")
    untouched(stack)
    caller.token = sessions(tier="pro").token
    assert MARK in caller.ask(f"{caller.kind}-pro")


def test_rate_limited(stack: Stack, caller: Caller, sessions: Callable[..., Account]) -> None:
    busy = sessions(tier="rated")
    caller.token = busy.token
    assert MARK in caller.ask()
    found = caller.raised(stream=True)
    own(found, 429, "rate_limited")
    wait = int(found.headers["retry-after"])
    assert 1 <= wait <= 60
    assert found.headers.get("x-should-retry") == ("false" if wait > 30 else None)
    assert '"requests";q=1;w=60' in found.headers["ratelimit-policy"]
    assert '"requests";r=0;' in found.headers["ratelimit"]
    assert len(stack.billed()) == 1
    busy.let_go()
    busy.records(1)


def test_concurrency_limited(stack: Stack, caller: Caller, sessions: Callable[..., Account]) -> None:
    single = sessions(tier="single")
    caller.token = single.token
    with Caller("openai", stack.url, single.token).client_openai() as client:
        messages: Any = ASK
        with client.chat.completions.create(model="openai-slow", messages=messages, stream=True) as running:
            next(iter(running))
            found = caller.raised()
            own(found, 429, "concurrency_limited")
            assert int(found.headers["retry-after"]) >= 1
    (record,) = single.records(1)
    assert (record["outcome"], record["basis"]) == ("client_abort", "partial")
    single.let_go()


# -- what fails behind the gateway -----------------------------------------------------------------


def test_metering_unavailable(stack: Stack, caller: Caller) -> None:
    assert MARK in caller.ask()  # the token is known now: the reserve is what fails
    stack.settled()
    info: Any = stack.store.info("server")
    os.kill(info["process_id"], signal.SIGSTOP)
    try:
        found = caller.raised(stream=True)
    finally:
        os.kill(info["process_id"], signal.SIGCONT)
    own(found, 503, "metering_unavailable")
    assert int(found.headers["retry-after"]) >= 1
    assert stack.sim.stats()["requests"] == 1
    assert MARK in caller.ask()
    stack.account.records(1)


@pytest.mark.parametrize("stream", [False, True])
def test_provider_unavailable(stack: Stack, caller: Caller, stream: bool) -> None:
    found = caller.raised(f"{caller.kind}-away", stream=stream)
    own(found, 503, "provider_unavailable")
    assert int(found.headers["retry-after"]) >= 1
    untouched(stack)


@pytest.mark.parametrize("fault", ["401", "402", "403"])
def test_a_fault_of_the_gateways_key_is_not_the_callers(stack: Stack, caller: Caller, fault: str) -> None:
    found = caller.raised(f"{caller.kind}-{fault}", stream=fault == "403")
    own(found, 503, "provider_unavailable")  # also where Google tells of credits as it tells of rates
    assert stack.sim.stats()["requests"] == 1
    stack.uncharged()


def test_the_gateways_own_quota_is_not_the_callers(stack: Stack) -> None:
    found = Caller("openai", stack.url, stack.token).raised("openai-quota")
    own(found, 503, "provider_unavailable")
    stack.uncharged()


def test_upstream_error(stack: Stack, caller: Caller) -> None:
    found = caller.raised(f"{caller.kind}-reset_before")
    own(found, 502, "upstream_error")
    assert int(found.headers["retry-after"]) >= 1
    stack.uncharged()


def test_upstream_timeout(stack: Stack, caller: Caller) -> None:
    found = caller.raised(f"{caller.kind}-hang_headers", stream=True)
    own(found, 504, "upstream_timeout")
    assert int(found.headers["retry-after"]) >= 1
    stack.sim.wait(aborted=1)
    stack.uncharged()


SAID = {
    ("openai", "400"): "This model's maximum context length is 128000 tokens.",
    ("anthropic", "400"): "prompt is too long: 210000 tokens > 200000 maximum",
    ("google", "400"): "The input token count exceeds the maximum number of tokens allowed 1048576.",
    ("openai", "429"): "Rate limit reached for requests. Please try again in 2s.",
    ("anthropic", "429"): "This request would exceed your organization's rate limit.",
    ("google", "429"): "You exceeded your current quota. Please retry in a moment.",
}


@pytest.mark.parametrize(
    ("fault", "stream"),
    [*((fault, False) for fault in ("400", "404", "413", "429", "500", "503", "529")), ("400", True), ("429", True)],
)
def test_the_providers_own_errors_pass(stack: Stack, caller: Caller, fault: str, stream: bool) -> None:
    if caller.sdk == "generativeai" and stream:
        # It cannot read Google's own errors of a stream, which come in an array, and says so.
        with pytest.raises(legacy.BadRequest, match="stream=False"):
            caller.ask(f"google-{fault}", stream=True)
        stack.uncharged()
        return
    found = caller.raised(f"{caller.kind}-{fault}", stream=stream)
    (bill,) = stack.sim.bills()
    assert found.status == bill["status"]
    assert found.headers["x-error-origin"] == "provider"
    assert SAID.get((caller.kind, fault), "") in found.message
    if fault == "429" and caller.kind != "google":
        assert found.headers["retry-after"] == "2"
    stack.uncharged()


# -- what happens inside a stream ------------------------------------------------------------------

CUTS = ["error_mid", "close_mid", "reset_mid", "cut_event", "hang_mid"]


def partial(stack: Stack, outcome: str) -> None:
    """One record of at least what was produced; its input is the provider's own where that was stated."""
    (record,) = stack.account.records(1)
    (bill,) = stack.billed()
    kept = as_bill(record)
    assert record["basis"] == "partial"
    assert record["outcome"] == outcome
    assert record["charge"] > 0
    assert kept["output"] >= 3  # the events that passed
    if record["provider"] != "openai":  # it states its input at the end alone
        assert kept["input"] == bill["input"]
    stack.account.let_go()


OUTCOMES = {"error_mid": "upstream_error", "hang_mid": "upstream_timeout"}


@pytest.mark.parametrize("fault", CUTS)
def test_a_cut_stream_raises(stack: Stack, caller: Caller, fault: str) -> None:
    with pytest.raises(Exception) as caught:
        caller.ask(f"{caller.kind}-{fault}", stream=True)
    assert not isinstance(caught.value, AssertionError)
    partial(stack, OUTCOMES.get(fault, "upstream_cut"))


@pytest.mark.parametrize("fault", CUTS)
def test_a_cut_stream_of_responses_raises(stack: Stack, fault: str) -> None:
    with (
        Caller("openai", stack.url, stack.token).client_openai() as client,
        pytest.raises((openai.APIError, openai.OpenAIError, OSError, RuntimeError)),
        client.responses.stream(model=f"openai-{fault}", input="Say something.") as stream,
    ):
        stream.get_final_response()
    partial(stack, OUTCOMES.get(fault, "upstream_cut"))


@pytest.mark.parametrize("fault", ["error_mid", "close_mid", "reset_mid"])
@pytest.mark.parametrize("sdk", ["openai", "anthropic", "genai"])
def test_a_cut_stream_raises_in_asynchronous_clients(stack: Stack, sdk: str, fault: str) -> None:
    model = f"{KIND[sdk]}-{fault}"
    with pytest.raises(Exception) as caught:
        asyncio.run(_streamed(sdk, stack, model))
    assert not isinstance(caught.value, AssertionError)
    partial(stack, OUTCOMES.get(fault, "upstream_cut"))


@pytest.mark.parametrize("sdk", ["openai", "anthropic", "genai"])
@pytest.mark.parametrize(("fault", "status"), [("away", 503), ("400", 400), ("pro", 403)])
def test_asynchronous_clients_raise_the_same(stack: Stack, sdk: str, fault: str, status: int) -> None:
    with pytest.raises(TYPES[status][SDKS.index(sdk)]):
        asyncio.run(_streamed(sdk, stack, f"{KIND[sdk]}-{fault}"))
    stack.uncharged()


async def _streamed(sdk: str, stack: Stack, model: str) -> None:
    messages: Any = ASK
    if sdk == "openai":
        options: Any = {"base_url": stack.url, "api_key": stack.token, "max_retries": 0, "timeout": 20}
        async with openai.AsyncOpenAI(**options) as client:
            stream: Any = await client.chat.completions.create(model=model, messages=messages, stream=True)
            async for _ in stream:
                pass
    elif sdk == "anthropic":
        options = {"base_url": stack.url, "api_key": stack.token, "max_retries": 0, "timeout": 20}
        async with (
            anthropic.AsyncAnthropic(**options) as other,
            other.messages.stream(model=model, messages=messages, max_tokens=1000) as parts,
        ):
            await parts.get_final_message()
    else:
        google = genai.Client(api_key=stack.token, http_options=types.HttpOptions(base_url=stack.url, timeout=60_000))
        try:
            async for _ in await google.aio.models.generate_content_stream(model=model, contents="Say something."):
                pass
        finally:
            await google.aio.aclose()


# -- without a store -------------------------------------------------------------------------------


def test_a_killed_store_refuses_and_a_new_one_serves(sdk_stack: Stack, tmp_path: Path) -> None:
    sdk_stack.sim.reset()
    with make_gateway(tmp_path, sdk_stack.sim) as gateway, open_store(gateway) as store:
        made = gateway.session("orphaned")
        token = made["access_token"]
        callers = [Caller(sdk, gateway.url, token) for sdk in SDKS]
        assert MARK in callers[0].ask()
        with (tmp_path / "data" / "store" / "server.lock").open("r+") as lock:
            _kill(store, lock)
            for caller in callers:
                found = caller.raised(stream=True)
                own(found, 503, "metering_unavailable")
                assert int(found.headers["retry-after"]) >= 1
            assert sdk_stack.sim.stats()["requests"] == 1
        with callers[0].client_openai() as client:
            messages: Any = ASK
            answer = client.with_options(max_retries=8).chat.completions.create(model="gpt-4o", messages=messages)
        assert MARK in (answer.choices[0].message.content or "")
        with open_store(gateway) as new:
            Account(token, made["pid"], new, since="0-0").records(2)


def _kill(store: redis.Redis, lock: IO[str]) -> None:
    """Kill the store and take the lock that a new one needs; again, should a new one have been faster."""
    while True:
        info: Any = store.info("server")
        os.kill(info["process_id"], signal.SIGKILL)
        for _ in range(500):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(0.001)  # another process' death is no event here
            else:
                return
