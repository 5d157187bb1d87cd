"""How long audio and video last."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.media.payload import Payload
from providers.media.recordings import audio_milliseconds, video_milliseconds
from tests.providers.media.files import mp3, mp4, text_of, wav


def payload(data):
    return Payload(msgspec.Raw(json.dumps(text_of(data)).encode()))


@pytest.mark.parametrize(
    ("data", "seconds"),
    [
        (wav(3.0), 3),
        (wav(2.0, 44_100, 2), 2),
        (wav(5.0, before=b"LIST\x04\x00\x00\x00abcd"), 5),
        (mp3(4.0), 4),
        (mp3(4.0, tag=50_000), 4),
    ],
)
def test_audio(data, seconds):
    assert audio_milliseconds(payload(data)) == pytest.approx(seconds * 1_000, rel=0.01)


@pytest.mark.parametrize("movie_last", [False, True])
def test_video(movie_last):
    assert video_milliseconds(payload(mp4(42, movie_last=movie_last))) == 42_000


def test_a_rate_that_no_recording_has_is_not_believed():
    for rate in (1, 2_000_000_000):
        assert audio_milliseconds(payload(wav(0, rate=rate) + bytes(5_000))) == 0


@given(
    st.sampled_from([b"RIFF0000WAVE", b"ID3", b"\xff\xfb", b"0000ftyp", b"\x00\x00\x00\x08ftyp"]),
    st.binary(max_size=400),
)
def test_noise_is_read_without_an_error(start, noise):
    one = payload(start + noise)
    assert audio_milliseconds(one) >= 0
    assert video_milliseconds(one) >= 0
