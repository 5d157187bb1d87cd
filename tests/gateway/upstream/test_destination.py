"""Request heads for providers: what is fixed, whose key, and that nothing of a client slips in."""

import pytest

from gateway.config import DataHandling, Endpoint, ProviderConfig, Region
from gateway.upstream.destination import Destination
from providers.dialect import Family, Operation
from providers.steps import at_once
from providers.wires import WIRES


def destination(family=Family.OPENAI, *, tls=True, host="api.test", port=443, prefix="", keys=("k1", "k2")):
    return Destination(
        ProviderConfig(
            name="p",
            family=family,
            endpoint=Endpoint(tls, host, port, prefix),
            api_keys=keys,
            handling=DataHandling(0, False, Region.GLOBAL),
            company="c",
        )
    )


def head(made, wire=WIRES[Operation.OPENAI_CHAT], query="", headers=(), body=b"1234567", key=0):
    shape = made.shape(wire, "m", stream=False, query=query, headers=list(headers))
    text = at_once(made.head(shape, body, key=key))
    start, _, rest = text.partition(b"\r\n")
    lines, end, after = rest.partition(b"\r\n\r\n")
    assert (end, after) == (b"\r\n\r\n", b"")
    return start, [tuple(line.split(b": ", 1)) for line in lines.split(b"\r\n")]


@pytest.mark.parametrize(
    ("family", "name", "value"),
    [
        (Family.OPENAI, b"authorization", b"Bearer k1"),
        (Family.ANTHROPIC, b"x-api-key", b"k1"),
        (Family.GOOGLE, b"x-goog-api-key", b"k1"),
    ],
)
def test_the_head(family, name, value):
    start, headers = head(destination(family), headers=[(b"anthropic-version", b"2023-06-01")])
    assert start == b"POST /v1/chat/completions HTTP/1.1"
    assert headers == [
        (b"host", b"api.test"),
        (b"user-agent", b"codegrex-gateway"),
        (b"accept-encoding", b"identity"),
        (name, value),
        (b"anthropic-version", b"2023-06-01"),
        (b"content-length", b"7"),
    ]


def test_each_key_has_its_position():
    made = destination()
    assert [dict(head(made, key=key)[1])[b"authorization"] for key in (0, 1)] == [b"Bearer k1", b"Bearer k2"]
    assert made.keys.count == 2


def test_a_key_is_removed_from_errors():
    made = destination(keys=("a-key-of-the-operator",))
    assert made.redaction(b'{"error": "bad key a-key-of-the-operator"}') == b'{"error": "bad key [redacted]"}'


@pytest.mark.parametrize(
    ("options", "host"),
    [
        ({"port": 8443}, b"api.test:8443"),
        ({"tls": False, "port": 80}, b"api.test"),
        ({"tls": False, "port": 443}, b"api.test:443"),
        ({"host": "::1", "port": 1}, b"[::1]:1"),
    ],
)
def test_the_host_header(options, host):
    assert dict(head(destination(**options))[1])[b"host"] == host


def test_prefix_and_query():
    made = destination(Family.GOOGLE, prefix="/proxy")
    start, _ = head(made, WIRES[Operation.GEMINI_GENERATE], query="alt=sse&key=secret")
    assert start == b"POST /proxy/v1beta/models/m:generateContent?alt=sse HTTP/1.1"


def test_keys_are_not_shown():
    assert "k1" not in repr(destination())


def test_at_the_same_place_connections_and_health_are_taken_over():
    before = destination(keys=("k1", "k2"))
    after = destination(keys=("k3", "k1"))
    before.keys.limited(0, "m", 0.0, 100.0)
    after.inherit(before)
    assert (after.origin, after.health) == (before.origin, before.health)
    assert after.keys.wait(1, "m", 1.0) == before.keys.wait(0, "m", 1.0) > 0
    assert (b"authorization", b"Bearer k1") in head(after, key=1)[1]
    elsewhere = destination(port=8443, keys=("k1",))
    elsewhere.inherit(before)
    assert elsewhere.origin is not before.origin
    assert elsewhere.health is not before.health
    assert elsewhere.keys.wait(0, "m", 1.0) > 0
