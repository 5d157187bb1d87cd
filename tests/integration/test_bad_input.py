"""Bad input gets a clear error in the caller's dialect, keeps the connection where HTTP allows, and costs nothing."""

import gzip
import json
import sys

import pytest

from tests.integration.conftest import CHAT, GENERATE, MESSAGES, prompt
from tests.raw_http import request

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

KINDS = ["openai", "anthropic", "google"]
PATHS = {"openai": CHAT, "anthropic": MESSAGES, "google": GENERATE.format("google-plain")}
LIMIT = 1 << 20


def in_dialect(kind, answer):
    """The error as the SDKs of that dialect read it."""
    body = answer.json()
    error = body["error"]
    assert error["message"]
    assert answer.headers["x-error-origin"] == "gateway"
    assert answer.headers["x-request-id"].startswith("req_")
    if kind == "anthropic":
        assert body["type"] == "error"
        assert body["request_id"] == answer.headers["request-id"]
    elif kind == "google":
        assert error["code"] == answer.status
        assert error["status"].isupper()
    else:
        assert {"message", "type", "param", "code"} <= set(error)
    return error


@pytest.fixture
def untouched(running):
    """Nothing may be held or charged, and no provider called."""
    before = running.quiet()
    yield running
    assert running.credits() == before
    assert running.sim.stats()["requests"] == 0


def works(client, running):
    """The connection still serves: a further request on it is answered."""
    answer = client.send(request("GET", "/v1/models", headers=running.auth)).answer()
    return answer.status == 200 and answer.complete


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("body", [b"{", b"", b"[]", b"null", b'{"model": ', b"\xff\xfe", b"{} {}"], ids=repr)
def test_a_body_that_is_not_the_apis(untouched, kind, body):
    with untouched.client() as client:
        answer = client.send(request("POST", PATHS[kind], body, headers=untouched.auth)).answer()
        assert (answer.status, answer.code) == (400, "invalid_request")
        in_dialect(kind, answer)
        assert works(client, untouched)


@pytest.mark.parametrize("kind", ["openai", "anthropic"])
def test_a_missing_model(untouched, kind):
    body = json.dumps({"messages": [{"role": "user", "content": "x"}], "max_tokens": 5}).encode()
    with untouched.client() as client:
        answer = client.send(request("POST", PATHS[kind], body, headers=untouched.auth)).answer()
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert "model" in in_dialect(kind, answer)["message"]
        assert works(client, untouched)


@pytest.mark.parametrize("kind", KINDS)
def test_an_unknown_model(untouched, kind):
    path, body = prompt(kind, "no-such")
    with untouched.client() as client:
        answer = client.send(request("POST", path, body, headers=untouched.auth)).answer()
        assert (answer.status, answer.code) == (404, "model_not_found")
        assert b"no-such" not in answer.body
        in_dialect(kind, answer)
        assert works(client, untouched)


@pytest.mark.parametrize("kind", KINDS)
def test_a_stated_length_over_the_limit_is_refused_before_the_body_comes(untouched, kind):
    data = request("POST", PATHS[kind], headers={**untouched.auth, "content-length": str(LIMIT + 1)})
    with untouched.client() as client:
        answer = client.send(data).answer()
        assert (answer.status, answer.code) == (413, "request_too_large")
        in_dialect(kind, answer)
        assert answer.headers["connection"] == "close"


@pytest.mark.parametrize("kind", KINDS)
def test_a_chunked_body_over_the_limit(untouched, kind):
    data = request("POST", PATHS[kind], headers={**untouched.auth, "transfer-encoding": "chunked"})
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    with untouched.client() as client:
        client.send(data + chunk * 17)
        answer = client.answer()
        assert (answer.status, answer.code) == (413, "request_too_large")
        in_dialect(kind, answer)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", [b"zz", b"-1", b"5;\x00", b"ffffffffffffffffff"])
def test_broken_chunks(untouched, kind, size):
    data = request("POST", PATHS[kind], headers={**untouched.auth, "transfer-encoding": "chunked"})
    with untouched.client() as client:
        answer = client.send(data + b"5\r\nhello\r\n" + size + b"\r\nhello\r\n0\r\n\r\n").answer()
        assert answer.status == 400
        in_dialect(kind, answer)
        assert client.ended() == b""


def test_a_chunked_body_without_end_ends_with_its_client(untouched):
    data = request("POST", CHAT, headers={**untouched.auth, "transfer-encoding": "chunked"})
    with untouched.client() as client:
        client.send(data + b"5\r\nhello\r\n")
    assert untouched.get("/v1/models").status == 200


@pytest.mark.parametrize("kind", KINDS)
def test_one_header_over_the_limit(untouched, kind):
    data = request("POST", PATHS[kind], b"{}", headers={**untouched.auth, "x-long": "y" * 70_000})
    with untouched.client() as client:
        answer = client.send(data).answer()
        assert (answer.status, answer.code) in {(431, "headers_too_large"), (400, "invalid_request")}
        assert b"yyyy" not in answer.body


def test_a_request_line_over_the_limit(untouched):
    with untouched.client() as client:
        answer = client.send(request("GET", "/" + "y" * 70_000)).answer()
        assert answer.status in {400, 414, 431}
        assert b"yyyy" not in answer.body


def test_headers_without_end(untouched):
    with untouched.client() as client:
        client.send(b"POST /v1/messages HTTP/1.1\r\nhost: x\r\n" + b"".join(b"x-%d: y\r\n" % n for n in range(400)))
        client.send(b"\r\n")
        assert client.answer().status in {400, 431}


@pytest.mark.parametrize("path", ["/v2/nothing", "/v1/messages/nothing", "/v1beta/models/x:nothing", "/%ff"])
def test_a_path_that_does_not_exist(untouched, path):
    with untouched.client() as client:
        answer = client.send(request("POST", path, b"{}", headers=untouched.auth)).answer()
        assert answer.status in {400, 404}
        assert answer.json()["error"]["message"]
        assert works(client, untouched)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/device", 404),  # no sign-in service is configured here
        ("POST", "/v1/account", 405),
        ("DELETE", "/v1/requests/none", 405),
        ("GET", "/v1/requests/none", 404),
        ("POST", "/.well-known/ai-privacy", 405),
    ],
)
def test_errors_on_the_gateways_own_paths_are_problem_details(untouched, method, path, status):
    headers = {**untouched.auth, "anthropic-version": "2023-06-01"}  # whatever SDK it says it is
    with untouched.client() as client:
        answer = client.send(request(method, path, headers=headers)).answer()
        assert (answer.status, answer.headers["content-type"]) == (status, "application/problem+json")
        assert answer.headers.get("allow") == ("GET" if status == 405 else None)
        assert works(client, untouched)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE", "PATCH", "OPTIONS", "HEAD"])
def test_a_wrong_method(untouched, kind, method):
    with untouched.client() as client:
        answer = client.send(request(method, PATHS[kind], headers=untouched.auth)).answer(of_head=method == "HEAD")
        assert (answer.status, answer.code, answer.headers["allow"]) == (405, "method_not_allowed", "POST")
        if method != "HEAD":
            in_dialect(kind, answer)
        assert works(client, untouched)


@pytest.mark.parametrize(
    "data",
    [
        b"nonsense\r\n\r\n",
        b"GET /v1/models HTTP/9.9\r\nhost: x\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: -5\r\n\r\n",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ncontent-length: 6\r\n\r\nhello",
        b"POST /v1/messages HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"GET /v1/models HTTP/1.1\r\nhost: x\r\nbad header line\r\n\r\n",
        b"POST * HTTP/1.1\r\nhost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 40,
    ],
    ids=repr,
)
def test_what_is_not_http_is_answered_without_quoting_it(untouched, data):
    with untouched.client() as client:
        answer = client.send(data).answer()
        assert 400 <= answer.status < 500
        told = answer.json()  # what has no path that can be read is no call of an API: problem details
        assert told["error"]["message"] if "error" in told else told["detail"]
        assert b"nonsense" not in answer.body
        assert b"bad header" not in answer.body
        assert client.ended() == b""


@pytest.mark.parametrize("name", ["key", "api_key", "access_token"])
@pytest.mark.parametrize("kind", KINDS)
def test_a_key_in_the_query_is_refused_and_names_the_header(untouched, kind, name):
    path = f"{PATHS[kind]}?alt=sse&{name}={untouched.token}"
    with untouched.client() as client:
        answer = client.send(request("POST", path, b"{}")).answer()
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert "x-goog-api-key" in in_dialect(kind, answer)["message"]
        assert untouched.token.encode() not in answer.body
        assert works(client, untouched)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer cgx_at_" + "A" * 64}, {"authorization": "Basic eA=="}]
)
def test_no_good_token(untouched, kind, headers):
    path, body = prompt(kind)
    with untouched.client() as client:
        answer = client.send(request("POST", path, body, headers=headers)).answer()
        assert (answer.status, answer.code) == (401, "token_invalid")
        assert answer.headers["www-authenticate"].startswith("Bearer")
        in_dialect(kind, answer)
        assert works(client, untouched)


def test_a_refused_token_with_a_body_on_its_way_closes_after_the_answer(untouched):
    with untouched.client() as client:
        client.send(request("POST", CHAT, headers={"content-length": "100000"}) + b"x" * 50_000)
        answer = client.answer()
        assert (answer.status, answer.headers["connection"]) == (401, "close")
        assert client.ended() == b""


@pytest.mark.parametrize("encoding", ["br", "compress", "gzip, gzip", "aes128gcm"])
def test_a_content_encoding_that_is_not_taken(untouched, encoding):
    with untouched.client() as client:
        data = request("POST", CHAT, b"{}", headers={**untouched.auth, "content-encoding": encoding})
        answer = client.send(data).answer()
        assert (answer.status, answer.code) == (415, "unsupported_encoding")
        in_dialect("openai", answer)
        assert works(client, untouched)


@pytest.mark.parametrize(("encoding", "pack"), [("gzip", gzip.compress), ("zstd", zstd.compress)])
def test_a_small_body_that_unpacks_over_the_limit(untouched, encoding, pack):
    packed = pack(b" " * (LIMIT + 1))
    with untouched.client() as client:
        data = request("POST", CHAT, packed, headers={**untouched.auth, "content-encoding": encoding})
        answer = client.send(data).answer()
        assert (answer.status, answer.code) == (413, "request_too_large")
        assert works(client, untouched)


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("cut", [0, 5, -4])
def test_a_packed_body_that_is_broken(untouched, encoding, cut):
    whole = (gzip.compress if encoding == "gzip" else zstd.compress)(prompt("openai")[1])
    body = whole[:cut] if cut else b"not packed at all"
    with untouched.client() as client:
        data = request("POST", CHAT, body, headers={**untouched.auth, "content-encoding": encoding})
        answer = client.send(data).answer()
        assert (answer.status, answer.code) == (400, "invalid_request")
        assert works(client, untouched)


@pytest.mark.parametrize(
    ("encoding", "pack"), [("gzip", gzip.compress), ("x-gzip", gzip.compress), ("zstd", zstd.compress)]
)
def test_a_packed_body_is_unpacked_for_the_provider(running, encoding, pack):
    path, plain = prompt("anthropic")
    with running.client() as client:
        data = request("POST", path, pack(plain), headers={**running.auth, "content-encoding": encoding})
        answer = client.send(data).answer()
    assert (answer.status, answer.complete) == (200, True)
    [got] = running.sim.requests()
    assert json.loads(got["body"])["messages"] == json.loads(plain)["messages"]
    assert "content-encoding" not in {name.lower() for name, _ in got["headers"]}


def test_websockets_are_answered_at_once(untouched):
    headers = {
        "connection": "upgrade",
        "upgrade": "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-key": "eA==",
    }
    with untouched.client() as client:
        answer = client.send(request("GET", "/v1/responses", headers=untouched.auth | headers)).answer()
        assert (answer.status, answer.code) == (426, "upgrade_required")
