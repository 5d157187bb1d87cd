"""A marker is found in every form it can take, and only its own place is named."""

import gzip
import hashlib
import zlib

import pytest

from tests.privacy.canaries import FORMS, Canaries


def found(canaries, data):
    return [(hit.form, hit.place) for hit in canaries.search("sink", "where", data)]


@pytest.mark.parametrize("name", FORMS)
def test_every_form_is_found(name):
    canaries = Canaries()
    canaries.plant("other", "one")
    marker = canaries.plant("prompt", "one")
    assert (name, "prompt") in found(canaries, b"x" + FORMS[name](marker) + b"x")


@pytest.mark.parametrize("pack", [gzip.compress, zlib.compress])
def test_compressed_streams_are_opened(pack):
    canaries = Canaries()
    marker = canaries.plant("prompt", "one")
    assert [place for _, place in found(canaries, b"before" + pack(marker.encode()))] == ["prompt"]


@pytest.mark.parametrize("shift", range(9))
def test_a_raw_digest_is_found_at_any_offset(shift):
    canaries = Canaries()
    marker = canaries.plant("prompt", "one")
    data = b"-" * shift + hashlib.blake2b(marker.encode()).digest()
    assert found(canaries, data) == [("blake2b of it", "prompt")]


def test_nothing_is_found_where_nothing_is():
    canaries = Canaries()
    canaries.plant("prompt", "one")
    assert found(canaries, bytes(range(256)) * 1000) == []
