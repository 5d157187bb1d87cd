"""Request heads for providers: what is fixed, whose key, and that nothing of a client slips in."""

import pytest

from gateway.config import Endpoint, ProviderConfig, Region
from gateway.upstream.destination import Destination
from providers.dialect import Family


def destination(family=Family.OPENAI, *, tls=True, host="api.test", port=443, prefix="", keys=("k1", "k2")):
    return Destination(
        ProviderConfig(
            name="p",
            family=family,
            endpoint=Endpoint(tls, host, port, prefix),
            api_keys=keys,
            retention_days=0,
            training=False,
            region=Region.GLOBAL,
            company="c",
        )
    )


def head(made, path="/v1/x", query="", headers=(), length=7, key=0):
    text = made.head(path, query, headers, length, key=key)
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
    assert start == b"POST /v1/x HTTP/1.1"
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
    start, _ = head(destination(prefix="/proxy"), path="/v1beta/models/m:generateContent", query="?alt=sse")
    assert start == b"POST /proxy/v1beta/models/m:generateContent?alt=sse HTTP/1.1"


def test_keys_are_not_shown():
    assert "k1" not in repr(destination())
