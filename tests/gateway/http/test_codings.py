"""Content codings: whole, byte by byte and cut at random; what is cut, corrupt or too large is never a whole body."""

import gzip
import zlib
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http import codings
from gateway.http.codings import SLICE, Corrupt, TooMuch, codings_of, decoder

TEXT = b"".join(b"line %d of a body\n" % number for number in range(400))
LIMIT = 1 << 20


def raw_deflate(data):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(data) + packer.flush()


def in_members(pack, data, count=5):
    size = -(-len(data) // count)
    return b"".join(pack(data[start : start + size]) for start in range(0, len(data), size))


FORMS = {
    "gzip": (["gzip"], gzip.compress(TEXT)),
    "gzip in members": (["gzip"], in_members(gzip.compress, TEXT)),
    "gzip with padding": (["gzip"], gzip.compress(TEXT[:100]) + bytes(7) + gzip.compress(TEXT[100:]) + bytes(3)),
    "gzip with an empty member": (["gzip"], gzip.compress(TEXT) + gzip.compress(b"")),
    "x-gzip": (["X-GZip"], gzip.compress(TEXT)),
    "zlib": (["deflate"], zlib.compress(TEXT)),
    "raw deflate": (["deflate"], raw_deflate(TEXT)),
    "zstd": (["zstd"], codings.zstd.compress(TEXT)),
    "zstd in frames": (["zstd"], in_members(codings.zstd.compress, TEXT)),
    "gzip, identity": (["gzip, identity"], gzip.compress(TEXT)),
    "two codings": (["deflate, gzip"], gzip.compress(zlib.compress(TEXT))),
    "two lines": (["zstd", "gzip"], gzip.compress(codings.zstd.compress(TEXT))),
}


def decoded(values, pieces, **bounds):
    found = codings_of(values)
    assert found
    decoding = decoder(found, **{"limit": LIMIT, **bounds})
    plain = b"".join(b"".join(decoding.feed(piece)) for piece in pieces)
    return plain, decoding.whole


@pytest.mark.parametrize("form", FORMS)
def test_whole_and_byte_by_byte(form):
    values, data = FORMS[form]
    assert decoded(values, [data]) == (TEXT, True)
    assert decoded(values, [data[at : at + 1] for at in range(len(data))]) == (TEXT, True)


@given(form=st.sampled_from(sorted(FORMS)), cuts=st.lists(st.integers(0, 5_000), max_size=8))
def test_cut_at_random(form, cuts):
    values, data = FORMS[form]
    bounds = [0, *sorted(min(cut, len(data)) for cut in cuts), len(data)]
    pieces = [data[start:end] for start, end in pairwise(bounds)]
    assert decoded(values, pieces) == (TEXT, True)


@pytest.mark.parametrize(
    "form", ["gzip", "gzip in members", "zlib", "raw deflate", "zstd", "zstd in frames", "two lines"]
)
def test_what_is_cut_is_not_whole(form):
    values, data = FORMS[form]
    for end in range(len(data)):
        plain, whole = decoded(values, [data[:end]])
        assert TEXT.startswith(plain)
        assert not whole or plain != TEXT  # between two members the data may end


@pytest.mark.parametrize(
    ("values", "data"),
    [
        (["gzip"], b"plain text"),
        (["gzip"], gzip.compress(TEXT)[:-4] + b"\0\0\0\0"),
        (["gzip"], gzip.compress(TEXT) + b"rubbish"),
        (["deflate"], zlib.compress(TEXT) + b"rubbish"),
        (["zstd"], b"plain text"),
        (["zstd"], codings.zstd.compress(TEXT) + b"rubbish"),
    ],
)
def test_what_is_not_in_its_coding_is_corrupt(values, data):
    with pytest.raises(Corrupt):
        decoded(values, [data])


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress, raw_deflate, codings.zstd.compress])
def test_a_small_body_does_not_become_a_large_one(pack):
    name = {gzip.compress: "gzip", codings.zstd.compress: "zstd"}.get(pack, "deflate")
    bomb = pack(bytes(3 * SLICE))
    assert decoded([name], [bomb], limit=3 * SLICE) == (bytes(3 * SLICE), True)
    with pytest.raises(TooMuch):
        decoded([name], [bomb], limit=3 * SLICE - 1)
    assert all(len(piece) <= SLICE for piece in decoder((name,), limit=LIMIT).feed(bomb))


def test_members_are_counted():
    data = gzip.compress(b"") * 11
    assert decoded(["gzip"], [data], members=11) == (b"", True)
    with pytest.raises(TooMuch):
        decoded(["gzip"], [data], members=10)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], ()),
        (["identity"], ()),
        (["gzip"], ("gzip",)),
        ([" GZIP ,identity", "zstd"], ("gzip", "zstd")),
        (["br"], None),
        (["gzip, br"], None),
        (["gzip;q=1"], None),
    ],
)
def test_the_codings_of_a_header(values, expected):
    assert codings_of(values) == expected
