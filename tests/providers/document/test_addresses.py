"""What is kept at a provider is known by its address in every spelling, in every dialect."""

from __future__ import annotations

import json
from urllib.parse import quote

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialect import Refusal
from providers.document.addresses import MOST_BYTES, is_elsewhere, is_remote, read_address, refuse_kept
from tests.slowness import fastest, slowness

LONGEST_STEP = 0.020  # seconds, on the machine of `tests.slowness`
KEPT = [
    "https://generativelanguage.googleapis.com/v1beta/files/abc",
    "https://eu.generativelanguage.googleapis.com/download/v1/files/abc",
    "https://api.openai.com/v1/files/file-1/content",
    "https://api.anthropic.com/v1/files/file_1",
    "file:///etc/passwd",
    "file://localhost/home/user/.ssh/id_ed25519",
    "files/abc",
    "v1beta/files/abc",
    "/v1/files/abc",
]
ELSEWHERE = [
    "https://www.youtube.com/watch?v=files/",
    "https://example.org/v1/files/abc",
    "http://example.org:8080/?u=https://api.openai.com/v1/files/x",
    "gs://bucket/files/abc",
    "https://notgenerativelanguage.googleapis.com/v1/files/x",
    "https://api.openai.com.example.org/v1/files/x",
]
DATA = [
    "data:image/png;base64,iVBORw0KGgo=",
    "DATA:text/plain,files/abc",
    "iVBORw0KGgoAAAANSUhEUg",
    "/9j/4AAQSkZJRg==",
    "",
]
BLANKS = st.text(alphabet=" \t\n\r\x00\x0b\x1f\u00a0\u200b\ufeff", max_size=4)


def refused(text, *, whole):
    try:
        refuse_kept(msgspec.Raw(json.dumps(text).encode()), "messages", whole=whole)
    except Refusal as error:
        return error.code
    return ""


@st.composite
def spellings(draw, address):
    """An address with other case, escapes, wide letters, blanks and slashes."""
    scheme, colon, rest = address.rpartition(":") if "://" in address else ("", "", address)
    written = []
    for character in rest:
        match draw(st.integers(0, 9)):
            case 0:
                written.append(character.upper())
            case 1 if character.isalnum():
                written.append(f"%{ord(character):02{draw(st.sampled_from('xX'))}}")
            case 2 if character.isalnum():
                written.append(quote(f"%{ord(character):02x}", safe=""))
            case 3 if character.isalnum():
                written.append(chr(ord(character) + 0xFEE0))
            case 4 if character == "/":
                written.append("\\")
            case 5 if character == "." and ".com" in rest:
                written.append(draw(st.sampled_from(["\uff0e", "\u3002"])))
            case 6:
                written.append(character + draw(st.sampled_from(["\t", "\n", "\u200b", "\u00ad"])))
            case _:
                written.append(character)
    cased = "".join(draw(st.sampled_from([one, one.upper()])) for one in scheme)
    return draw(BLANKS) + cased + colon + "".join(written) + draw(BLANKS)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(KEPT).flatmap(spellings), st.booleans())
def test_what_is_kept_is_refused_in_every_spelling(text, whole):
    assert refused(text, whole=whole) == "privacy_unsupported"
    assert not is_elsewhere(text)


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("text", ELSEWHERE)
def test_what_is_elsewhere_passes(text, whole):
    assert refused(text, whole=whole) == ""


@pytest.mark.parametrize("text", [*DATA, "x" * 100_000, "data:text/plain," + "\u00e9" * 9_000, "\n" + "A" * 9_000])
def test_data_passes_where_the_api_takes_it(text):
    assert refused(text, whole=False) == ""


@pytest.mark.parametrize("text", DATA)
def test_only_whole_addresses_pass_where_the_api_takes_nothing_else(text):
    assert refused(text, whole=True) == "privacy_unsupported"


@pytest.mark.parametrize("start", ["https://", " " * MOST_BYTES, "/" * 200, "file://"])
def test_a_long_address_is_refused_unread(start):
    assert refused(start + "files/" + "/a." * MOST_BYTES, whole=False) == "invalid_request"


@pytest.mark.parametrize("value", [b"5", b"null", b"{}", b"[]"])
def test_what_is_no_string_is_no_address(value):
    refuse_kept(msgspec.Raw(value), "messages", whole=False)
    with pytest.raises(Refusal):
        refuse_kept(msgspec.Raw(value), "fileData", whole=True)


@given(st.sampled_from(["http://e.org/a", "https://e.org/a", "gs://b/a", "file-1", "files/a"]), BLANKS)
def test_what_is_fetched_is_no_data_however_it_begins(address, blanks):
    blanks = "".join(blank for blank in blanks if blank <= " ")
    for text in (address, address.upper(), blanks + address):
        assert is_remote(msgspec.Raw(json.dumps(text).replace("/", "\\/").encode()))
    assert not is_remote(msgspec.Raw(b'"data:image/png;base64,aHR0cDo="'))


@pytest.mark.parametrize(
    "unit", ["%2525", "%25", "\uff41", "\ufdfa", "\t", "a\u200b", "\u0301\u0323", "/a", "\\", "[", "@", "\u3002"]
)
@pytest.mark.parametrize("start", ["", "https://", "https://e.org/"])
def test_no_address_takes_long_to_be_read(start, unit):
    text = start + unit * ((MOST_BYTES - len(start)) // len(unit.encode()))
    assert fastest(lambda: read_address(text)) < LONGEST_STEP * slowness()


@given(st.text(max_size=40))
def test_any_text_is_read_or_is_no_address(text):
    address = read_address(text)
    assert address is None or address.scheme == address.scheme.lower()
