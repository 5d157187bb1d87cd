"""Events on a real socket; the receiver checks the signature as Standard Webhooks tells it to."""

from __future__ import annotations

import hmac
import json
from base64 import b64decode

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from gateway.accounts.webhooks import WebhookEvent, Webhooks, make_webhooks, signature
from gateway.config.webhooks import WebhookConfig

SECRET = b"s" * 24


class Receiver:
    def __init__(self):
        self.answers = []
        self.events = []

    async def __call__(self, request):
        body = await request.read()
        name, at = request.headers["webhook-id"], request.headers["webhook-timestamp"]
        version, _, sent = request.headers["webhook-signature"].partition(",")
        assert version == "v1"
        assert b64decode(sent) == hmac.digest(SECRET, f"{name}.{at}.".encode() + body, "sha256")
        self.events.append((name, json.loads(body)))
        return web.Response(status=self.answers.pop(0) if self.answers else 204, headers={"location": "/elsewhere"})


@pytest.fixture
async def receiver():
    receiver = Receiver()
    application = web.Application()
    application.router.add_post("/events", receiver)
    async with TestServer(application) as server:
        receiver.url = str(server.make_url("/events"))
        yield receiver


@pytest.fixture
def make(receiver):
    return lambda **options: Webhooks(receiver.url, SECRET, **options)


def test_the_signature_is_that_of_the_specification():
    secret = b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    headers = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert headers["webhook-signature"] == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


async def test_an_event_arrives_signed_and_holds_numbers_alone(make, receiver):
    webhooks = make()
    webhooks.start()
    webhooks.emit(WebhookEvent.CREDITS_LOW, "p1", left=40)
    assert await webhooks.drain(10)
    await webhooks.close()
    ((_, event),) = receiver.events
    assert event["type"] == "credits.low"
    assert event["data"] == {"pid": "p1", "left": 40}
    assert event["timestamp"].endswith("Z")
    assert webhooks.delivered == 1


async def test_what_is_not_taken_comes_again_under_the_same_id(make, receiver):
    receiver.answers = [500, 302]
    webhooks = make(retries=(0.0, 0.0))
    webhooks.emit(WebhookEvent.ACCOUNT_ERASED, "p1")
    webhooks.start()
    assert await webhooks.drain(10)
    await webhooks.close()
    assert len(receiver.events) == 3
    assert len({name for name, _ in receiver.events}) == 1


async def test_tries_end_and_a_full_queue_drops_the_oldest(make, receiver):
    dropped = []
    webhooks = make(retries=(), limit=2, on_dropped=lambda: dropped.append(1))
    for pid in ("p1", "p2", "p3"):
        webhooks.emit(WebhookEvent.CREDITS_EXHAUSTED, pid, left=0)
    receiver.answers = [500]
    webhooks.start()
    assert await webhooks.drain(10)
    await webhooks.close()
    assert [event["data"]["pid"] for _, event in receiver.events] == ["p2", "p3"]
    assert (webhooks.dropped, webhooks.delivered, len(dropped)) == (2, 1, 2)


async def test_a_receiver_that_is_not_there_is_waited_for(make, receiver):
    webhooks = Webhooks("http://127.0.0.1:9/", SECRET, retries=(0.0, 0.0))
    webhooks.emit(WebhookEvent.REFRESH_REUSE, "p1")
    webhooks.start()
    assert await webhooks.drain(10)
    await webhooks.close()
    assert webhooks.dropped == 1


async def test_without_a_receiver_an_event_is_nothing():
    webhooks = make_webhooks(None)
    webhooks.start()
    webhooks.emit(WebhookEvent.NEW_DEVICE, "p1")
    assert await webhooks.drain(0.001)
    await webhooks.close()
    assert make_webhooks(WebhookConfig("http://127.0.0.1/", SECRET))._url
