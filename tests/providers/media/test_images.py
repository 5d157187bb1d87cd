"""An image's dimensions come from its header, wherever the header lies, and are not believed where they can't be true."""

import base64
import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.media.images import dimensions
from providers.media.payload import Payload
from tests.providers.media.files import bmp, gif, jpeg, png, text_of, url_of, webp


def of(data, encode=text_of):
    return dimensions(Payload(msgspec.Raw(json.dumps(encode(data)).encode())))


FILES = {
    "PNG": png(1920, 1080),
    "JPEG": jpeg(1920, 1080),
    "progressive JPEG": jpeg(1920, 1080, frame=0xC2),
    "JPEG with EXIF and a profile": jpeg(1920, 1080, segments=(40_000, 65_534, 3_000)),
    "GIF": gif(1920, 1080),
    "WebP lossy": webp(1920, 1080, b"VP8 "),
    "WebP lossless": webp(1920, 1080, b"VP8L"),
    "WebP extended": webp(1920, 1080, b"VP8X"),
    "BMP": bmp(1920, 1080),
}


@pytest.mark.parametrize("name", FILES)
def test_the_header_says_the_dimensions(name):
    assert of(FILES[name]) == (1920, 1080)
    assert of(FILES[name] + bytes(300_000)) == (1920, 1080)


@pytest.mark.parametrize(
    "encode",
    [
        lambda data: base64.urlsafe_b64encode(data).decode().rstrip("="),
        url_of,
        lambda data: "DATA:image/PNG;name=a;base64," + text_of(data),
        lambda data: base64.encodebytes(data).decode(),  # in lines of 76
        lambda data: text_of(data).replace("=", ""),
    ],
)
def test_any_form_of_base64_is_read(encode):
    assert of(png(640, 480, bytes(range(256)) * 40), encode) == (640, 480)
    assert of(jpeg(640, 480, more=bytes(range(256)) * 40), encode) == (640, 480)


def test_escaped_slashes_are_read():
    data = png(640, 480, b"\xff" * 600)
    raw = json.dumps(url_of(data)).replace("/", "\\/").encode()
    assert dimensions(Payload(msgspec.Raw(raw))) == (640, 480)


@pytest.mark.parametrize(
    "lie", [png(1, 1, bytes(1_000_000)), jpeg(2, 2, more=bytes(1_000_000)), png(0, 7), gif(0, 0), png(2**31, 0)]
)
def test_dimensions_that_cannot_be_true_are_not_believed(lie):
    assert of(lie) is None


def test_a_jpeg_of_nothing_but_segments_ends():
    assert of(b"\xff\xd8" + b"\xff\xe1\x00\x02" * 5_000) is None
    assert of(b"\xff\xd8" + b"\xff" * 5_000) is None


@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_cut_file_gives_its_dimensions_or_none(name, data):
    whole = FILES[name]
    size = data.draw(st.integers(0, min(len(whole), 200)))
    assert of(whole[:size]) in {None, (1920, 1080)}


@given(
    st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF89a", b"RIFF0000WEBPVP8X", b"BM", b""]), st.binary()
)
def test_noise_is_read_without_an_error(start, noise):
    found = of(start + noise)
    assert found is None or all(side > 0 for side in found)


@given(st.text(max_size=300))
def test_what_is_no_base64_is_read_without_an_error(text):
    assert dimensions(Payload(msgspec.Raw(json.dumps(text).encode()))) is None or text
