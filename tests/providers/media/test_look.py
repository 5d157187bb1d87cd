"""However many media a request has and whatever they say, a bounded part of them is decoded."""

import json

import msgspec
import pytest

from providers.measures import Kind
from providers.media import payload
from providers.media.look import MOST_MEDIA, Gallery
from tests.providers.media.files import jpeg, mp4, pdf, png, text_of, wav

FORGED = {
    "a large image": (png(5_000, 5_000, bytes(12 << 20)), 1),
    "many images": (png(50, 50, bytes(40_000)), 400),
    "a JPEG of nothing but segments": (b"\xff\xd8" + b"\xff\xe1\x00\x02" * 8_000, 400),
    "many documents": (pdf(3, bytes_a_page=40_000), 120),
    "packed documents": (pdf(9, packed=True), 400),
    "a forged document": (b"%PDF-1.7" + b"/Type/Pages /Count 9 /ObjStm stream\n" * 3_000, 100),
    "recordings": (wav(2), 200),
    "films": (mp4(9, movie_last=True), 200),
}


@pytest.mark.parametrize("name", FORGED)
def test_little_is_decoded(name, monkeypatch):
    data, times = FORGED[name]
    raw = msgspec.Raw(json.dumps(text_of(data)).encode())
    decoded = 0

    def counting(text, decode=payload._decoded):
        nonlocal decoded
        decoded += len(text)
        return decode(text)

    monkeypatch.setattr(payload, "_decoded", counting)
    gallery = Gallery()
    for _ in range(times):
        gallery.add(raw)
    media = gallery.done()
    assert sum(medium.number for medium in media) == times
    assert len(media) <= MOST_MEDIA + len(Kind)
    assert decoded <= 8 << 20
    assert gallery.text == times * len(raw)


@pytest.mark.parametrize(
    ("data", "kind"),
    [(png(9, 9), Kind.IMAGE), (jpeg(9, 9), Kind.IMAGE), (pdf(1), Kind.PDF), (wav(1), Kind.AUDIO), (mp4(1), Kind.VIDEO)],
)
def test_what_a_file_is_shows_without_being_said(data, kind):
    gallery = Gallery()
    gallery.add(msgspec.Raw(json.dumps(text_of(data)).encode()))
    (medium,) = gallery.done()
    assert medium.kind is kind


@pytest.mark.parametrize("value", [b"null", b"7", b"{}", b'""', b'"data:"', b'"https://a/b"', b'"data:;base64,"'])
def test_anything_is_a_medium(value):
    gallery = Gallery()
    gallery.add(msgspec.Raw(value), kind=Kind.IMAGE)
    (medium,) = gallery.done()
    assert (medium.kind, medium.width) == (Kind.IMAGE, 0)
