"""Counts the pages of a PDF, and the characters on them, from its bytes (ISO 32000-1), without a PDF library.

Files of up to `WHOLE` bytes are searched completely, larger ones at the start and the end. Pages are objects
``/Type /Page``; the root of their tree states ``/Count``; newer files have objects in compressed streams, which are
decompressed within bounds. If pages may still be hidden, the size of the file bounds their number. Text is what the
content streams show (section 9.4.3): strings in parentheses, or in hexadecimal digits.
"""

from __future__ import annotations

import re
import zlib
from itertools import islice
from typing import Final, NamedTuple

from providers.media.payload import Payload

WHOLE: Final = 2 << 20
_END: Final = 512 * 1024
_MOST_STREAMS: Final = 64
_STREAM_INPUT: Final = 64 * 1024
_STREAM_OUTPUT: Final = 64 * 1024
_OUTPUT: Final = 1 << 20  # bytes from all streams together
_SMALLEST_PAGE: Final = 3_000
"""The least bytes for a page, in a file whose pages cannot be counted: half of a compressed page of plain text."""
_USUAL_PAGE: Final = 60_000  # bytes for a page in such a file, usually: text with pictures

_PAGE: Final = re.compile(rb"/Type\s{0,4}/Page(?![A-Za-z])")
_COUNT: Final = re.compile(rb"/Count\s{0,4}(\d{1,6})")
_LINEARIZED: Final = re.compile(rb"/Linearized.{0,200}?/N\s{0,4}(\d{1,6})", re.DOTALL)
_TREE: Final = re.compile(rb"/Type\s{0,4}/Pages(?![A-Za-z])")
_NEAR: Final = 400
_STREAM: Final = re.compile(rb"(?<!end)stream\r?\n")
_SEALED: Final = b"/Encrypt"
_NO_CONTENT: Final = re.compile(rb"/Length[123]|/Image|/ObjStm|/XRef|/Metadata|/ICCBased|/FontFile")
_ESCAPED: Final = re.compile(rb"\\.", re.DOTALL)
_SHOWN: Final = re.compile(rb"\(([^()]*+)\)")
_DIGITS: Final = re.compile(rb"<([0-9A-Fa-f]++)>")
_SPARSE: Final = 4  # characters a page: with fewer it is a picture
_MOST_NODES: Final = 128


class Document(NamedTuple):
    """What is known about a file.

    Attributes:
        pages: The expected number of pages.
        most_pages: The highest possible number.
        looked: The number of bytes that were searched.
        characters: Characters of text that the pages show; 0 if that is not known.
    """

    pages: int
    most_pages: int
    looked: int
    characters: int = 0


def read(payload: Payload, budget: int = 2 * WHOLE) -> Document:
    """The pages and the text of a file.

    Args:
        payload: The file.
        budget: Bytes that may be searched, in the file and in its decompressed streams. If they are too few for this
            file, its pages are estimated from its size.
    """
    size = payload.size
    by_size = max(1, size // _SMALLEST_PAGE)
    usual = max(1, size // _USUAL_PAGE)
    whole = size <= WHOLE
    need = size if whole else 2 * _END
    if b"%PDF-" not in payload.read(0, 1_024):
        return Document(1, by_size, 0)  # its provider will probably refuse it
    if need > budget:
        return Document(usual, by_size, 0)
    text = payload.read(0, size + 3) if whole else payload.read(0, _END) + payload.read(size - _END, _END + 3)
    found = len(_PAGE.findall(text))
    stated = max((_tree_count(text), *(int(one) for one in _LINEARIZED.findall(text[:2_048]))))
    packed = b"/ObjStm" in text
    if packed:
        in_streams, stated_there, opened = _packed(text, budget - need)
        found, stated, need = found + in_streams, max(stated, stated_there), need + opened
    counted = max(found, min(stated, by_size))
    if not counted:
        return Document(usual, by_size, need)
    most = counted if whole and not packed else max(counted, by_size)
    if not whole:
        return Document(counted, most, need)
    characters, opened = _characters(text, min(_OUTPUT, budget - need))
    pictured = b"/Image" in text and characters <= _SPARSE * counted
    return Document(counted, most, need + opened, 0 if pictured or characters < 0 else max(1, characters))


def _characters(text: bytes, left: int) -> tuple[int, int]:
    """Characters that the file's streams show, and the bytes that these have; -1 if some of them can't be opened."""
    shown = looked = 0
    if _SEALED in text:
        return -1, looked
    for number, begun in enumerate(_STREAM.finditer(text)):
        if number == _MOST_STREAMS or left <= 0:
            return -1, looked
        start = begun.end()
        head = text[max(0, begun.start() - _NEAR) : begun.start()].rpartition(b" obj")[2]
        if _NO_CONTENT.search(head):
            continue
        content = text[start : min(text.find(b"endstream", start), start + _STREAM_INPUT)]
        if b"/Filter" in head:
            try:
                content = zlib.decompressobj().decompress(content, min(left, _STREAM_OUTPUT))
            except zlib.error:
                return -1, looked
        left -= len(content)
        looked += len(content)
        if b"BT" in content:
            shown += _shown(content)
    return shown, looked


def _shown(content: bytes) -> int:
    """Characters of the strings in one stream."""
    strings = sum(len(string) for string in _SHOWN.findall(_ESCAPED.sub(b"x", content)))
    digits = [len(string) for string in _DIGITS.findall(content)]
    return strings + sum(digits) // (4 if all(length % 4 == 0 for length in digits) else 2)


def _tree_count(text: bytes) -> int:
    """The largest count in a node of a page tree; outlines have counts too, which are ignored."""
    most = 0
    for node in islice(_TREE.finditer(text), _MOST_NODES):
        around = text[max(0, node.start() - _NEAR) : node.end() + _NEAR]
        most = max((most, *(int(one) for one in _COUNT.findall(around))))
    return most


def _packed(text: bytes, budget: int) -> tuple[int, int, int]:
    """Pages and the largest count in the object streams (7.5.7), and the number of their decompressed bytes."""
    found = stated = at = looked = 0
    left = min(_OUTPUT, budget)
    for _ in range(_MOST_STREAMS):
        at = text.find(b"/ObjStm", at + 1)
        begin = text.find(b"stream", at, at + _NEAR)
        if at < 0 or left <= 0:
            break
        if begin < 0:
            continue
        begin += len(b"stream\r\n") if text[begin + 6 : begin + 7] == b"\r" else len(b"stream\n")
        try:
            opened = zlib.decompressobj().decompress(text[begin : begin + _STREAM_INPUT], min(left, _STREAM_OUTPUT))
        except zlib.error:
            continue
        left -= len(opened)
        looked += len(opened)
        found += len(_PAGE.findall(opened))
        stated = max(stated, _tree_count(opened))
    return found, stated, looked
