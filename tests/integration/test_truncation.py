"""A truncated answer never looks complete, and what a provider does on the wire reaches its own client alone."""

import gzip
import threading

import pytest

from tests.integration.conftest import at_odd, prompt
from tests.raw_http import PATIENCE, ask, request

KINDS = ["openai", "anthropic", "google"]
ENDINGS = {"openai": b"data: [DONE]", "anthropic": b"event: message_stop", "google": b'"finishReason"'}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", ["reset-mid", "close-mid", "http10-cut"])
def test_a_cut_between_two_events_is_an_error_event_and_no_last_chunk(running, kind, script):
    answer = ask(running.url, running.chat(kind, script))
    assert answer.status == 200
    assert not answer.complete
    assert ENDINGS[kind] not in answer.body
    last = answer.body.rstrip(b"\r\n").rsplit(b"\n\n", 1)[-1].rsplit(b"\r\n\r\n", 1)[-1]
    assert b'"error"' in last
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("partial", "upstream_cut")
    assert record["out_visible"] > 0


@pytest.mark.parametrize("kind", ["anthropic", "google"])
def test_a_cut_inside_an_event_is_a_reset(running, kind):
    with running.client() as client:
        answer = client.send(running.chat(kind, "cut-event")).answer()
        assert not answer.complete
        assert b'"error"' not in answer.body
        with pytest.raises(ConnectionError):
            client.sock.sendall(b"x" * 1_000_000)
    assert running.settled(answer.rid)["outcome"] == "upstream_cut"


def test_where_events_are_held_a_cut_inside_one_is_an_error_event(running):
    answer = ask(running.url, running.chat("openai", "cut-event"))  # the usage event is hidden
    assert not answer.complete
    assert b'"error"' in answer.body[-600:]
    assert running.settled(answer.rid)["outcome"] == "upstream_cut"


@pytest.mark.parametrize(
    ("kind", "script", "reset"),
    [
        ("openai", "reset-mid", False),
        ("anthropic", "reset-mid", False),
        ("google", "reset-mid", False),
        ("anthropic", "cut-event", True),
        ("google", "cut-event", True),
    ],
)
def test_http_1_0_gets_no_chunk_framing_and_sees_the_cut(running, kind, script, reset):
    with running.client() as client:
        client.send(running.chat(kind, script, version="1.0"))
        answer = client.head()
        assert "transfer-encoding" not in answer.headers
        body = b""
        seen = False
        try:
            while data := client.file.read1(65_536):
                body += data
        except ConnectionResetError:
            seen = True
    assert seen is reset
    assert reset or b'"error"' in body[-600:]


@pytest.mark.parametrize("kind", KINDS)
def test_http_1_0_gets_a_whole_stream_without_chunk_framing(running, kind):
    whole = ask(running.url, running.chat(kind)).body
    plain = ask(running.url, running.chat(kind, version="1.0"))
    assert "transfer-encoding" not in plain.headers
    assert ENDINGS[kind] in plain.body
    assert plain.body.startswith((b"data:", b"event:"))
    assert abs(len(plain.body) - len(whole)) < 64  # ids differ


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", ["early-hints", "no-length", "http10", "split", "object"])
@pytest.mark.parametrize("stream", [True, False])
def test_odd_framing_arrives_whole(running, kind, script, stream):
    answer = ask(running.url, running.chat(kind, script, stream=stream))
    assert (answer.status, answer.complete) == (200, True)
    if stream:
        assert ENDINGS[kind] in answer.body
    else:
        assert answer.json()
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("reported", "completed")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("script", ["close-mid", "reset-mid", "cut-event", "http10-cut"])
def test_an_object_that_is_cut_is_a_502_and_costs_nothing(running, kind, script):
    before = running.quiet()
    answer = ask(running.url, running.chat(kind, script, stream=False))
    assert (answer.status, answer.code) == (502, "upstream_error")
    assert int(answer.headers["retry-after"]) >= 1
    assert running.settled(answer.rid)["status"] == "voided"
    assert running.quiet() == before


@pytest.mark.parametrize("framing", [b"transfer-encoding: chunked", b"connection: close"])
def test_a_stream_that_breaks_off_before_its_first_event_costs_nothing(running, misbehaving, framing):
    with at_odd(running, misbehaving, stream=True) as (client, provider):
        provider.sendall(b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n%b\r\n\r\n" % framing)
        answer = client.head()
    assert answer.status == 200
    assert running.settled(answer.rid)["status"] == "voided"
    assert running.quiet()["held"] == 0


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("script", "status", "code"), [
    ("refuse", 502, "upstream_error"),
    ("reset-before", 502, "upstream_error"),
    ("huge-headers", 502, "upstream_error"),
])  # fmt: skip
@pytest.mark.parametrize("stream", [True, False])
def test_no_answer_is_an_error_and_costs_nothing(running, kind, script, status, code, stream):
    before = running.quiet()
    answer = ask(running.url, running.chat(kind, script, stream=stream))
    assert (answer.status, answer.code) == (status, code)
    assert running.settled(answer.rid)["status"] == "voided"
    assert running.credits() == before


def test_surplus_bytes_never_reach_the_next_user(running):
    for _ in range(3):
        with running.client() as client:
            first = client.send(running.chat(script="surplus")).answer()
            second = client.send(running.chat()).answer()
        assert first.complete
        assert second.complete
        assert b"surplus" not in first.body + second.body
        assert ENDINGS["openai"] in second.body


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("stream", [True, False])
def test_a_packed_answer_is_metered(running, kind, stream):
    answer = ask(running.url, running.chat(kind, "gzip", stream=stream))
    assert (answer.status, answer.complete) == (200, True)
    body = answer.body
    if answer.headers.get("content-encoding") == "gzip":
        body = gzip.decompress(body)
    assert b"sim-answer-00011" in body
    record = running.settled(answer.rid)
    assert (record["basis"], record["out_visible"]) == ("reported", 12)
    [got] = running.sim.requests()
    assert ["accept-encoding", "identity"] in [[name.lower(), value] for name, value in got["headers"]]


def test_an_early_413_is_seen_while_the_body_is_still_being_sent(running, misbehaving):
    body = b'{"error":{"message":"too large","type":"invalid_request_error","param":null,"code":null}}'
    reply = b"HTTP/1.1 413 Payload Too Large\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b"
    read: list[int] = []
    done = threading.Event()

    def serve() -> None:
        sock, _ = misbehaving.accept()
        with sock:
            read.append(len(sock.recv(1_000)))
            sock.sendall(reply % (len(body), body))  # the rest is never read
            done.wait(PATIENCE)

    thread = threading.Thread(target=serve)
    thread.start()
    path, data = prompt("openai", "odd", "x" * 1_000_000)
    answer = ask(running.url, request("POST", path, data, headers=running.auth))
    done.set()
    thread.join()
    assert read[0] <= 1_000
    assert (answer.status, answer.body) == (413, body)
    assert answer.headers["x-error-origin"] == "provider"
    assert running.settled(answer.rid)["status"] == "voided"


def test_pipelined_requests_are_answered_in_order(running):
    scripts = ["plain", "split", "plain", "early-hints", "object"]
    data = b"".join(running.chat(script=script, stream=script != "object") for script in scripts)
    with running.client() as client:
        client.send(data + request("GET", "/v1/models", headers=running.auth))
        answers = [client.answer() for _ in range(len(scripts) + 1)]
    assert all(answer.complete and answer.status == 200 for answer in answers)
    assert all(ENDINGS["openai"] in answer.body for answer in answers[:4])
    assert answers[4].json()["object"] == "chat.completion"
    assert answers[5].json()["object"] == "list"
    assert len({answer.rid for answer in answers}) == 6


def test_a_keep_alive_client_survives_errors_and_streams(running):
    with running.client() as client:
        for _ in range(3):
            assert client.send(running.chat("anthropic")).answer().complete
            assert client.send(running.chat("google", "unavailable")).answer().status == 503
            assert client.send(request("GET", "/nothing", headers=running.auth)).answer().status == 404
            assert client.send(running.chat("openai", stream=False)).answer().status == 200


def test_a_reused_connection_that_the_provider_closed_is_replaced(running, misbehaving):
    """Two answers on one connection, which then ends while idle: the third request gets a new one."""
    body = b'{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    seen: list[int] = []
    closed = threading.Event()

    def serve() -> None:
        for number, count in enumerate((2, 1)):
            sock, _ = misbehaving.accept()
            sock.settimeout(PATIENCE)
            with sock:
                for _ in range(count):
                    while b"}" not in sock.recv(65_536):
                        pass
                    seen.append(number)
                    sock.sendall(reply)
            closed.set()

    thread = threading.Thread(target=serve)
    thread.start()
    path, data = prompt("openai", "odd", stream=False)
    message = request("POST", path, data, headers=running.auth)
    with running.client() as client:
        assert client.send(message).answer().status == 200
        assert client.send(message).answer().status == 200
        assert closed.wait(PATIENCE)
        assert client.send(message).answer().status == 200
    thread.join()
    assert seen == [0, 0, 1]


@pytest.mark.parametrize("junk", [b"\0", b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nother"])
def test_bytes_on_an_idle_connection_close_it(running, misbehaving, junk):
    body = b'{"id":"x","choices":[],"usage":{"prompt_tokens":1,"completion_tokens":1,"total_tokens":2}}'
    reply = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    told, spoken = threading.Event(), threading.Event()

    def serve() -> None:
        first, _ = misbehaving.accept()
        with first:
            first.settimeout(PATIENCE)
            first.recv(65_536)
            first.sendall(reply)
            told.wait(PATIENCE)
            first.sendall(junk)
            spoken.set()
            second, _ = misbehaving.accept()
            with second:
                second.recv(65_536)
                second.sendall(reply)

    thread = threading.Thread(target=serve)
    thread.start()
    path, data = prompt("openai", "odd", stream=False)
    message = request("POST", path, data, headers=running.auth)
    with running.client() as client:
        assert client.send(message).answer().body == body
        told.set()
        assert spoken.wait(PATIENCE)
        assert client.send(message).answer().body == body
    thread.join()
