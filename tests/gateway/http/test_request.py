"""Tokens, queries, budgets and encodings of what clients send."""

import gzip
import zlib
from types import SimpleNamespace

import pytest
from multidict import CIMultiDict

from gateway.errors import InvalidRequest, RequestTooLarge
from gateway.http.codings import codings_of, zstd
from gateway.http.request import _decode, body_budget, refuse_key_in_query, tokens_of
from providers.steps import at_once

PACK = {"gzip": gzip.compress, "x-gzip": gzip.compress, "deflate": zlib.compress, "zstd": zstd.compress}


@pytest.mark.parametrize(
    ("headers", "tokens"),
    [
        ([("Authorization", "Bearer t")], ["t"]),
        ([("authorization", "bearer  t ")], ["t"]),
        ([("x-api-key", "t")], ["t"]),
        ([("x-goog-api-key", "t")], ["t"]),
        ([("Authorization", "Basic eA=="), ("x-api-key", "t")], ["t"]),
        ([("Authorization", "Basic eA==")], []),
        ([("Authorization", "Bearer "), ("x-api-key", "")], []),
        ([("Authorization", "Bearer")], []),
        ([], []),
        ([("x-goog-api-key", "c"), ("x-api-key", "b"), ("Authorization", "Bearer a")], ["a", "b", "c"]),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], ["a", "b"]),
    ],
)
def test_where_tokens_are_found(headers, tokens):
    assert list(tokens_of(SimpleNamespace(headers=CIMultiDict(headers)))) == tokens


@pytest.mark.parametrize("query", ["key=x", "alt=sse&key=", "api_key=x", "access_token=x", "%6bey=x"])
def test_a_key_in_the_query(query):
    with pytest.raises(InvalidRequest) as caught:
        refuse_key_in_query(query)
    assert "x-goog-api-key" in caught.value.message


@pytest.mark.parametrize("query", ["alt=sse", "beta=true", "pageToken=key", "monkey=1"])
def test_other_queries(query):
    refuse_key_in_query(query)


def decode(body, codings, limit):
    with body_budget(1 << 30).hold("") as share:
        plain = at_once(_decode(body, codings, limit, share))
        assert share.size == len(plain)
    return plain


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("size", [0, 1, 100_000])
def test_decoding(encoding, size):
    plain = b"p" * size
    assert decode(PACK[encoding](plain), codings_of([encoding]), max(size, 1)) == plain


@pytest.mark.parametrize("encoding", PACK)
def test_a_bomb_is_stopped_at_the_bound(encoding):
    with pytest.raises(RequestTooLarge):
        decode(PACK[encoding](b"p" * 10_000_000), codings_of([encoding]), 1_000)


@pytest.mark.parametrize("encoding", PACK)
@pytest.mark.parametrize("cut", [0, 1, 6, -1])
def test_what_is_cut_or_broken(encoding, cut):
    packed = PACK[encoding](b"p" * 1_000)
    with pytest.raises(InvalidRequest):
        decode(packed[:cut] if cut else b"\x00junk", codings_of([encoding]), 10_000)


def test_a_body_of_very_many_members_is_refused():
    with pytest.raises(RequestTooLarge):
        decode(gzip.compress(b"") * 2_000, ("gzip",), 10_000)


def test_what_comes_out_of_a_packed_body_counts_while_it_comes():
    budget = body_budget(400_000)
    with budget.hold("") as share, pytest.raises(RequestTooLarge):  # of the share, far below the limit of a body
        at_once(_decode(gzip.compress(b"p" * 1_000_000), ("gzip",), 1_000_000, share))
    assert budget.used == 0
