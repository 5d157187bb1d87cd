"""A secret in a prompt, end to end: the provider never sees it, and the caller gets it back in the stream."""

import json
import socket
import threading

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually
from tests.raw_http import RawClient, request

SECRET = "AKIAIOSFODNN7EXAMPLE"
EMAIL = "ada@example.org"


class Echo:
    """A provider that says what it was told, a few characters an event."""

    def __init__(self):
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.seen = []
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self):
        return f"http://127.0.0.1:{self.sock.getsockname()[1]}"

    def _serve(self):
        while True:
            try:
                peer, _ = self.sock.accept()
            except OSError:
                return
            with peer, peer.makefile("rb") as file:
                head = b""
                while not head.endswith(b"\r\n\r\n"):
                    head += file.readline()
                length = next(
                    int(line.split(b":")[1]) for line in head.splitlines() if line.startswith(b"content-length")
                )
                body = file.read(length)
                self.seen.append(head + body)
                asked = json.loads(body)
                text = asked["messages"][0]["content"]
                peer.sendall(self._answer(text, stream=asked.get("stream")))

    @staticmethod
    def _answer(text, *, stream):
        usage = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
        if not stream:
            message = {"role": "assistant", "content": text}
            body = json.dumps(
                {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}], "usage": usage}
            ).encode()
            return (
                b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n%b"
                % (len(body), body)
            )
        chunks = [
            {"choices": [{"index": 0, "delta": {"content": text[at : at + 5]}, "finish_reason": None}]}
            for at in range(0, len(text), 5)
        ]
        chunks += [{"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}, {"choices": [], "usage": usage}]
        events = [b"data: " + json.dumps(chunk).encode() + b"\n\n" for chunk in chunks] + [b"data: [DONE]\n\n"]
        framed = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
        return (
            b"HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\ntransfer-encoding: chunked\r\nconnection: close\r\n\r\n"
            + framed
        )


@pytest.fixture(params=["restore", "mask", "block"])
def running(request, tmp_path):
    echo = Echo()
    gateway = GatewayProcess(
        tmp_path,
        {"openai": provider("openai", echo.url)},
        [model("m", "openai")],
        {"policy": {"secrets": request.param}},
    )
    with gateway:
        yield request.param, gateway, echo, gateway.session("user", 1_000)["access_token"]
    echo.sock.close()


def ask(gateway, token, *, stream):
    text = f"use {SECRET} and write to {EMAIL}, MASKED or not"
    body = json.dumps({"model": "m", "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()
    headers = {"authorization": f"Bearer {token}"}
    with RawClient(gateway.url) as client:
        client.send(request("POST", "/v1/chat/completions", body, headers=headers))
        return text, client.answer()


def said(answer, *, stream):
    if not stream:
        return answer.json()["choices"][0]["message"]["content"]
    events = [json.loads(line[6:]) for line in answer.body.split(b"\n\n") if line.startswith(b"data: {")]
    return "".join(choice["delta"].get("content", "") for event in events for choice in event["choices"])


@pytest.mark.parametrize("stream", [True, False])
def test_nor_is_it_lost_in_a_translation(running, stream):
    rule, gateway, echo, token = running
    if rule == "block":
        return
    text = f"use {SECRET} and write to {EMAIL}, MASKED or not"
    body = {"model": "m", "stream": stream, "max_tokens": 99, "messages": [{"role": "user", "content": text}]}
    with RawClient(gateway.url) as client:
        client.send(request("POST", "/v1/messages", json.dumps(body).encode(), headers={"x-api-key": token}))
        answer = client.answer()
    [seen] = echo.seen
    assert SECRET.encode() not in seen
    assert EMAIL.encode() not in seen
    if stream:
        events = [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith(b"data: ")]
        assert events[-1]["type"] == "message_stop"
        got = "".join(event["delta"].get("text", "") for event in events if event["type"] == "content_block_delta")
    else:
        got = "".join(block["text"] for block in answer.json()["content"])
    assert (got == text) is (rule == "restore")
    assert got.endswith(", MASKED or not")


@pytest.mark.parametrize("stream", [True, False])
def test_the_provider_never_sees_it(running, stream):
    rule, gateway, echo, token = running
    text, answer = ask(gateway, token, stream=stream)
    if rule == "block":
        assert (answer.status, answer.headers["x-error-code"]) == (400, "privacy_unsupported")
        assert SECRET.encode() not in answer.body
        assert echo.seen == []
    else:
        assert answer.status == 200
        assert answer.complete
        (seen,) = echo.seen
        assert SECRET.encode() not in seen
        assert EMAIL.encode() not in seen
        heard = said(answer, stream=stream)
        assert (heard == text) is (rule == "restore")
        assert (SECRET in heard) is (rule == "restore")
        (record,) = eventually(gateway.usage, bool)
        assert (record["in_uncached"], record["out_visible"], record["basis"]) == (9, 7, "reported")
    assert SECRET not in gateway.log.read_text()


@pytest.mark.parametrize("running", ["block"], indirect=True)
def test_what_is_refused_anyway_is_not_searched(running):
    _, gateway, _, token = running
    message = {"role": "user", "content": f"use {SECRET}"}
    whole = json.dumps({"model": "m", "messages": [message]}).encode()
    twice, deep = whole[:-1] + b',"model":"m"}', whole[:-1] + b',"x":' + b"[" * 1_000 + b"]" * 1_000 + b"}"
    with RawClient(gateway.url) as client:
        found = [
            client.send(request("POST", "/v1/chat/completions", body, headers={"authorization": f"Bearer {token}"}))
            .answer()
            .json()["error"]["code"]
            for body in (whole, twice, deep, whole[:-1])
        ]
    assert found == ["privacy_unsupported", "invalid_request", "invalid_request", "invalid_request"]


FEATURES = {
    "restore": ({"secrets": "restore"}, {}),
    "mask": ({"secrets": "mask"}, {}),
    "hidden usage": ({"secrets": "off"}, {"stream": True}),
    "restored stream": ({"secrets": "restore"}, {"stream": True}),
}


@pytest.mark.parametrize("feature", FEATURES)
def test_two_users_on_one_connection_get_their_own_answers_whole(tmp_path, feature):
    """A balancer keeps one connection for many callers: an answer whose bytes change has no length of its own."""
    policy, asked = FEATURES[feature]
    echo = Echo()
    gateway = GatewayProcess(
        tmp_path, {"openai": provider("openai", echo.url)}, [model("m", "openai")], {"policy": policy}
    )
    with gateway, RawClient(gateway.url) as balancer:
        tokens = [gateway.session(user, 10_000)["access_token"] for user in ("alice", "bob")]
        around = (0, 200, 262_000, 262_143, 262_144, 262_145, 530_000)  # the size from which an object flows
        for size in (0, 200, 20_000) if asked else around:
            for number, token in enumerate(tokens):
                text = f"user {number}: {EMAIL} {EMAIL} {SECRET} " + "x " * (size // 2)
                body = json.dumps({"model": "m", "messages": [{"role": "user", "content": text}], **asked}).encode()
                headers = {"authorization": f"Bearer {token}"}
                answer = balancer.send(request("POST", "/v1/chat/completions", body, headers=headers)).answer()
                assert (answer.status, answer.complete) == (200, True)
                heard = said(answer, stream=asked.get("stream"))
                assert heard.startswith(f"user {number}: ")
                assert (heard == text) is (policy["secrets"] != "mask")
    echo.sock.close()
