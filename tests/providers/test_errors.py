"""Each SDK reads each error from a real server and raises its own exception."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import anthropic
import google.api_core.exceptions
import openai
import pytest
from google import genai
from google.genai import errors as genai_errors

from providers.dialect import Family, Operation
from providers.errors import DOMAIN, content_type, error_body, error_event

MESSAGE = "A fixed sentence: and its mend."
TABLE = [
    (400, "invalid_request"),
    (400, "unsupported_feature"),
    (400, "privacy_unsupported"),
    (401, "token_expired"),
    (402, "credits_exhausted"),
    (400, "superseded"),
    (403, "local_mode"),
    (403, "model_not_in_plan"),
    (404, "model_not_found"),
    (405, "method_not_allowed"),
    (413, "request_too_large"),
    (429, "rate_limited"),
    (500, "internal"),
    (502, "upstream_error"),
    (503, "provider_unavailable"),
    (504, "upstream_timeout"),
]
CHAT = b'data: {"id":"c","object":"chat.completion.chunk","created":1,"model":"m","choices":[]}\n\n'
RESPONSE = b'event: response.in_progress\ndata: {"type":"response.in_progress","sequence_number":0}\n\n'
MESSAGES = b'event: ping\ndata: {"type":"ping"}\n\n'
GEMINI = b'data: {"candidates":[{"content":{"parts":[{"text":"x"}]}}]}\r\n\r\n'


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        status, kind, body = self.server.answer
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("x-request-id", "rid-1")
        self.send_header("request-id", "rid-1")
        self.send_header("x-should-retry", "false")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def server():
    served = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    yield served
    served.shutdown()
    served.server_close()


@pytest.fixture
def origin(server):
    return f"http://127.0.0.1:{server.server_port}"


def answer(server, family, status, code, **more):
    server.answer = status, content_type(family), error_body(family, status, code, MESSAGE, request_id="rid-1", **more)


def stream(server, *parts):
    server.answer = 200, "text/event-stream", b"".join(parts)


def ask_openai(origin, **more):
    client = openai.OpenAI(base_url=origin + "/v1", api_key="k", max_retries=0)
    return client.chat.completions.create(model="m", messages=[{"role": "user", "content": "hi"}], **more)


def ask_anthropic(origin, **more):
    client = anthropic.Anthropic(base_url=origin, api_key="k", max_retries=0)
    return client.messages.create(model="m", max_tokens=5, messages=[{"role": "user", "content": "hi"}], **more)


def ask_google(origin, *, stream=False):
    with genai.Client(api_key="k", http_options={"base_url": origin}) as client:
        if stream:
            return list(client.models.generate_content_stream(model="m", contents="hi"))
        return client.models.generate_content(model="m", contents="hi")


@pytest.mark.parametrize(("status", "code"), TABLE)
def test_openai_raises_its_own_exception(server, origin, status, code):
    answer(server, Family.OPENAI, status, code, param="model")

    with pytest.raises(openai.APIStatusError) as raised:
        ask_openai(origin)

    error = raised.value
    assert (error.status_code, error.code, error.param, error.request_id) == (status, code, "model", "rid-1")
    assert error.body["message"] == MESSAGE
    expected = {
        400: openai.BadRequestError,
        401: openai.AuthenticationError,
        403: openai.PermissionDeniedError,
        404: openai.NotFoundError,
        429: openai.RateLimitError,
    }
    assert type(error) is expected.get(status, openai.InternalServerError if status >= 500 else openai.APIStatusError)


@pytest.mark.parametrize(("status", "code"), TABLE)
def test_anthropic_raises_its_own_exception(server, origin, status, code):
    answer(server, Family.ANTHROPIC, status, code, param="model")

    with pytest.raises(anthropic.APIStatusError) as raised:
        ask_anthropic(origin)

    error = raised.value
    assert (error.status_code, error.error_code, error.request_id) == (status, code, "rid-1")
    assert error.api_message == MESSAGE
    assert error.body["request_id"] == "rid-1"
    assert error.type in {
        "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error",
        "request_too_large", "rate_limit_error", "api_error", "overloaded_error", "timeout_error",
    }  # fmt: skip


@pytest.mark.parametrize(("status", "code"), TABLE)
def test_google_raises_its_own_exception(server, origin, status, code):
    answer(server, Family.GOOGLE, status, code, param="model")

    with pytest.raises(genai_errors.APIError) as raised:
        ask_google(origin)

    error = raised.value
    assert (error.code, error.message) == (status, MESSAGE)
    assert type(error) is (genai_errors.ClientError if status < 500 else genai_errors.ServerError)
    assert error.status not in (None, "UNKNOWN")
    info = error.details["error"]["details"][0]
    assert info == {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": code.upper(), "domain": DOMAIN}


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "invalid_request", google.api_core.exceptions.BadRequest),
        (401, "token_expired", google.api_core.exceptions.Unauthorized),
        (403, "local_mode", google.api_core.exceptions.Forbidden),
        (404, "model_not_found", google.api_core.exceptions.NotFound),
        (402, "credits_exhausted", google.api_core.exceptions.GoogleAPICallError),
    ],
)
def test_the_ended_google_sdk_raises_its_own_exception(server, origin, status, code, expected):
    from google import generativeai

    answer(server, Family.GOOGLE, status, code)
    generativeai.configure(api_key="k", transport="rest", client_options={"api_endpoint": origin})

    with pytest.raises(google.api_core.exceptions.GoogleAPICallError) as raised:
        generativeai.GenerativeModel("m").generate_content("hi", request_options={"retry": None, "timeout": 5})

    assert isinstance(raised.value, expected)
    assert MESSAGE in raised.value.message
    assert raised.value.details[0]["reason"] == code.upper()


def test_google_is_told_when_to_come_back(server, origin):
    answer(server, Family.GOOGLE, 429, "rate_limited", retry_after=34)

    with pytest.raises(genai_errors.ClientError) as raised:
        ask_google(origin)

    assert raised.value.status == "RESOURCE_EXHAUSTED"
    assert {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": "34s"} in raised.value.details["error"][
        "details"
    ]


@pytest.mark.parametrize(
    ("seconds", "delay"), [(0, "0s"), (0.25, "0.25s"), (1.5, "1.5s"), (100, "100s"), (0.0004, "0s")]
)
def test_a_delay_is_a_duration(seconds, delay):
    body = json.loads(error_body(Family.GOOGLE, 503, "draining", MESSAGE, request_id="r", retry_after=seconds))

    assert body["error"]["details"][-1]["retryDelay"] == delay


@pytest.mark.parametrize("family", [*Family, None])
def test_amounts_are_told_in_every_form(family):
    amounts = {"needed": 5, "held": 2, "available": 1}
    text = error_body(family, 402, "credits_exhausted", MESSAGE, request_id="rid-1", amounts=amounts)

    for name, value in amounts.items():
        assert f'"{name}":{value}' in text.decode().replace(f'"{value}"', str(value))


def test_elsewhere_errors_are_problem_details():
    body = error_body(None, 404, "not_found", MESSAGE, request_id="rid-1", param="rid")

    assert content_type(None) == "application/problem+json"
    assert json.loads(body) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": MESSAGE,
        "code": "not_found",
        "request_id": "rid-1",
        "param": "rid",
    }


def event(operation, **more):
    return error_event(operation, 503, "draining", MESSAGE, request_id="rid-1", **more)


def test_openai_chat_raises_inside_a_stream(server, origin):
    stream(server, CHAT, event(Operation.OPENAI_CHAT))

    with pytest.raises(openai.APIError) as raised:
        list(ask_openai(origin, stream=True))

    assert (raised.value.code, raised.value.message) == ("draining", MESSAGE)


def test_openai_completions_raise_inside_a_stream(server, origin):
    stream(server, event(Operation.OPENAI_COMPLETIONS))
    client = openai.OpenAI(base_url=origin + "/v1", api_key="k", max_retries=0)

    with pytest.raises(openai.APIError) as raised:
        list(client.completions.create(model="m", prompt="hi", stream=True))

    assert raised.value.code == "draining"


def test_openai_responses_raise_inside_a_stream(server, origin):
    stream(server, RESPONSE, event(Operation.OPENAI_RESPONSES, sequence=1))
    client = openai.OpenAI(base_url=origin + "/v1", api_key="k", max_retries=0)

    with pytest.raises(openai.APIError) as raised:
        list(client.responses.create(model="m", input="hi", stream=True))

    assert (raised.value.code, raised.value.message) == ("draining", MESSAGE)


def test_the_responses_error_is_both_the_documented_and_the_real_event():
    lines = event(Operation.OPENAI_RESPONSES, sequence=7).decode().split("\n\n")
    error, failed = (json.loads(line.partition("data: ")[2]) for line in lines[:2])

    assert lines[0].startswith("event: error\n")
    assert lines[1].startswith("event: response.failed\n")
    assert lines[2:] == [""]
    assert (error["type"], error["sequence_number"], error["code"], error["message"]) == (
        "error",
        7,
        "draining",
        MESSAGE,
    )
    assert error["error"]["code"] == "draining"
    assert (failed["type"], failed["sequence_number"], failed["response"]["status"]) == ("response.failed", 8, "failed")
    assert failed["response"]["error"] == {"code": "draining", "message": MESSAGE}


def test_anthropic_raises_inside_a_stream(server, origin):
    stream(server, MESSAGES, event(Operation.ANTHROPIC_MESSAGES))

    with pytest.raises(anthropic.APIStatusError) as raised:
        list(ask_anthropic(origin, stream=True))

    assert raised.value.error_code == "draining"
    assert raised.value.type == "overloaded_error"


def test_google_raises_inside_a_stream(server, origin):
    stream(server, GEMINI, event(Operation.GEMINI_STREAM, retry_after=2))

    with pytest.raises(genai_errors.ServerError) as raised:
        ask_google(origin, stream=True)

    assert (raised.value.code, raised.value.status, raised.value.message) == (503, "UNAVAILABLE", MESSAGE)


@pytest.mark.parametrize("operation", Operation)
def test_no_event_reads_as_a_clean_end(operation):
    text = event(operation)

    assert text.endswith((b"\n\n", b"\r\n\r\n"))
    for end in (b"[DONE]", b"message_stop", b"finishReason", b"response.completed"):
        assert end not in text


@pytest.mark.parametrize("operation", Operation)
def test_what_is_no_event_stream_has_no_event(operation):
    assert event(operation, sse=False) == b""


@pytest.mark.parametrize("operation", [Operation.GEMINI_STREAM, Operation.GEMINI_GENERATE])
def test_a_gemini_error_begins_as_its_sdk_looks_for_it(operation):
    assert event(operation).startswith(b'data: {"error":')
