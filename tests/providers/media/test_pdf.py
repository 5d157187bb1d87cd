"""A PDF's pages, without a PDF library."""

import json

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.media import pdf
from providers.media.payload import Payload
from tests.providers.media import files
from tests.providers.media.files import text_of


def pages(data, budget=pdf.WHOLE):
    return pdf.read(Payload(msgspec.Raw(json.dumps(text_of(data)).encode())), budget)


@pytest.mark.parametrize("count", [1, 3, 250])
@pytest.mark.parametrize("packed", [False, True])
def test_pages_are_counted(count, packed):
    found, most, looked, _ = pages(files.pdf(count, packed=packed))
    assert found == count
    assert most >= count
    assert looked > 0


def test_a_file_without_packed_objects_has_no_hidden_pages():
    data = files.pdf(2, bytes_a_page=100_000)
    assert pages(data)[:2] == (2, 2)
    hidden = data.replace(b"/Parent", b"/ObjStm")
    assert pages(hidden)[0] == 2
    assert pages(hidden)[1] == len(hidden) // 3_000


def test_a_large_file_is_told_by_its_ends():
    data = files.pdf(30, bytes_a_page=200_000)
    found, most, looked, _ = pages(data)
    assert found == 30
    assert most == len(data) // 3_000
    assert looked < len(data) / 4


def test_a_count_that_the_file_cannot_hold_is_not_believed():
    data = files.pdf(1).replace(b"/Count 1", b"/Count 999999")
    assert pages(data)[0] == 1


def test_what_is_no_pdf_is_expected_to_be_refused():
    assert pages(b"A" * 300_000) == (1, 100, 0, 0)


def test_without_a_budget_the_size_tells():
    data = files.pdf(3, bytes_a_page=60_000)
    assert pages(data, 100) == (3, len(data) // 3_000, 0, 0)


@pytest.mark.parametrize(
    "forged",
    [
        b"%PDF-1.7" + b"/Type/Pages" * 100_000,
        b"%PDF-1.7" + b"/Type/ObjStm" * 100_000,
        b"%PDF-1.7" + b"/Type /ObjStm stream\n" * 50_000,
        b"%PDF-1.7 /ObjStm stream\n" + b"\x78\x9c" * 50_000,
        b"%PDF-1.7" + b"/Type/Page " * 100_000,
    ],
)
def test_a_forged_file_is_read_within_bounds(forged):
    found, most, *_ = pages(forged)
    assert 1 <= found <= most


@given(st.binary(max_size=300))
def test_noise_is_read_without_an_error(noise):
    found, most, *_ = pages(b"%PDF-1.4 " + noise)
    assert 1 <= found <= most


SHOWN = b"BT /F1 12 Tf (Hello, ) Tj [(wo) -20 (rld)] TJ ET"
PICTURE = b"5 0 obj << /Subtype /Image /Filter /DCTDecode >>\nstream\n" + b"(x) BT" * 99 + b"\nendstream endobj\n"


@pytest.mark.parametrize("filtered", [False, True])
@pytest.mark.parametrize(
    ("content", "more", "expected"),
    [
        (SHOWN, b"", 12),
        (SHOWN, PICTURE, 12),
        (b"BT (a\\)b\\(c\\\\) Tj ET", b"", 6),
        (b"BT <48656C6C6F> Tj <21> Tj ET", b"", 6),
        (b"BT <00480065006C006C006F> Tj ET", b"", 5),  # two bytes a character
        (b"0 0 m 9 9 l S (no text object)", b"", 1),  # an empty page, or a drawing
        (b"q 9 0 0 9 0 0 cm /Im0 Do Q", PICTURE, 0),  # a picture of a page
        (b"BT (" * 9_000, b"", 1),
        (b"BT " + b"<aa" * 9_000, b"", 1),
        (SHOWN, b"9 0 obj << /Encrypt 8 0 R >> endobj\n", 0),
        (SHOWN, b"5 0 obj << /Filter /LZWDecode >>\nstream\nabc\nendstream endobj\n", 0),
        (SHOWN, b"5 0 obj << >>\nstream\nabc\nendstream endobj\n" * 99, 0),  # more than is looked at
    ],
)
def test_the_text_of_a_page_is_counted(content, filtered, more, expected):
    assert pages(files.page_of(content, filtered=filtered, more=more)).characters == expected


def test_fonts_and_data_about_the_file_are_no_text():
    for member in (b"/Length1 9", b"/Type /XRef", b"/Type /Metadata"):
        assert pages(files.page_of(SHOWN * 9, members=member)).characters == 1
