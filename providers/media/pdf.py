"""How many pages a PDF has, from its bytes (ISO 32000-1), without a PDF library.

Files of up to `WHOLE` bytes are looked at whole, of larger ones the start and the end. Pages are objects
``/Type /Page``; the root of their tree states ``/Count``; newer files pack objects into compressed streams, which are
opened within bounds. Where pages may still be hidden, the size bounds them.
"""

from __future__ import annotations

import re
import zlib
from itertools import islice
from typing import Final

from providers.media.payload import Payload

WHOLE: Final = 2 << 20
_END: Final = 512 * 1024
_MOST_STREAMS: Final = 64
_STREAM_INPUT: Final = 64 * 1024
_STREAM_OUTPUT: Final = 64 * 1024
_OUTPUT: Final = 1 << 20  # of all streams together
_SMALLEST_PAGE: Final = 3_000
"""Bytes of a page, on average, in a file whose pages cannot be counted: half of a page of plain text, compressed."""
_USUAL_PAGE: Final = 60_000  # of such a file: text with pictures

_PAGE: Final = re.compile(rb"/Type\s{0,4}/Page(?![A-Za-z])")
_COUNT: Final = re.compile(rb"/Count\s{0,4}(\d{1,6})")
_LINEARIZED: Final = re.compile(rb"/Linearized.{0,200}?/N\s{0,4}(\d{1,6})", re.DOTALL)
_TREE: Final = re.compile(rb"/Type\s{0,4}/Pages(?![A-Za-z])")
_NEAR: Final = 400
_MOST_NODES: Final = 128


def pages(payload: Payload, budget: int = 2 * WHOLE) -> tuple[int, int, int]:
    """Pages that the file probably has, and at most has, and bytes that were looked at.

    Args:
        payload: The file.
        budget: Bytes that may be looked at, of the file and of what its streams hold. With too few for this file, its
            pages follow from its size.
    """
    size = payload.size
    by_size = max(1, size // _SMALLEST_PAGE)
    usual = max(1, size // _USUAL_PAGE)
    whole = size <= WHOLE
    need = size if whole else 2 * _END
    if b"%PDF-" not in payload.read(0, 1_024):
        return 1, by_size, 0  # its provider will probably refuse it
    if need > budget:
        return usual, by_size, 0
    text = payload.read(0, size + 3) if whole else payload.read(0, _END) + payload.read(size - _END, _END + 3)
    found = len(_PAGE.findall(text))
    stated = max((_tree_count(text), *(int(one) for one in _LINEARIZED.findall(text[:2_048]))))
    packed = b"/ObjStm" in text
    if packed:
        in_streams, stated_there, opened = _packed(text, budget - need)
        found, stated, need = found + in_streams, max(stated, stated_there), need + opened
    counted = max(found, min(stated, by_size))
    if not counted:
        return usual, by_size, need
    return counted, counted if whole and not packed else max(counted, by_size), need


def _tree_count(text: bytes) -> int:
    """The largest count of a page tree's node; outlines have counts, too."""
    most = 0
    for node in islice(_TREE.finditer(text), _MOST_NODES):
        around = text[max(0, node.start() - _NEAR) : node.end() + _NEAR]
        most = max((most, *(int(one) for one in _COUNT.findall(around))))
    return most


def _packed(text: bytes, budget: int) -> tuple[int, int, int]:
    """Pages, and the largest count, in the object streams (7.5.7); and the bytes that they were found in."""
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
