"""Random markers, where each was planted, and how to find one in bytes whatever was done to it.

All markers of a run begin with the same random twelve characters, so that one search per form finds
every one of them; the number behind says which it is. Letters and digits alone: a marker is the same
in JSON, in a URL and in a header, and passes as a model's name.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import secrets
import sys
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

_LETTERS = "ghjkmnpqrstuvwxyz"  # no hexadecimal digit: a marker is never a part of a digest
LARGEST_PLAIN = 4 << 20
DIGESTS = ("md5", "sha1", "sha224", "sha256", "sha384", "sha512", "blake2b", "blake2s", "sha3_256")
IDENTITY = ("header", "query", "identity")  # places whose markers must not reach the provider either


@dataclass(frozen=True)
class Planted:
    text: str
    place: str
    scenario: str


@dataclass(frozen=True)
class Hit:
    sink: str
    where: str
    form: str
    place: str
    scenario: str

    def told(self) -> str:
        return f"{self.sink}: {self.form} of {self.place or 'an unknown place'} ({self.scenario}) in {self.where}"


def _aligned(text: str, lead: int) -> bytes:
    """What of the base64 of a text that starts ``lead`` bytes after a group does not depend on its neighbours."""
    coded = base64.b64encode(b"\0" * lead + text.encode())
    start = (0, 2, 3)[lead]
    spare = (lead + len(text)) % 3
    return coded[start : len(coded) - (4 if spare else 0)]


FORMS: dict[str, Callable[[str], bytes]] = {
    "raw": str.encode,
    "upper case": lambda text: text.upper().encode(),
    "reversed": lambda text: text[::-1].encode(),
    "hex": lambda text: text.encode().hex().encode(),
    "hex, upper case": lambda text: text.encode().hex().upper().encode(),
    "base64": lambda text: _aligned(text, 0),
    "base64, shifted by 1": lambda text: _aligned(text, 1),
    "base64, shifted by 2": lambda text: _aligned(text, 2),
    "UTF-16, little end first": lambda text: text.encode("utf-16-le"),
    "UTF-16, big end first": lambda text: text.encode("utf-16-be"),
    "UTF-32": lambda text: text.encode("utf-32-le"),
    "URL": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()).encode(),
    "URL, upper case": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()).encode(),
    "JSON escapes": lambda text: "".join(f"\\u{ord(letter):04x}" for letter in text).encode(),
    "repr of bytes": lambda text: "".join(f"\\x{byte:02x}" for byte in text.encode()).encode(),
    "spaced hex": lambda text: text.encode().hex(" ").encode(),
    "list of numbers": lambda text: ", ".join(str(byte) for byte in text.encode()).encode(),
}
# The end of the base64 of a prefix is cut where the next characters decide it, so it is a prefix of the whole.


@dataclass
class Canaries:
    """The markers of one run. `plant` makes them, `search` finds them."""

    prefix: str = field(default_factory=lambda: "".join(secrets.choice(_LETTERS) for _ in range(12)))
    planted: list[Planted] = field(default_factory=list)
    adopted: list[Planted] = field(default_factory=list)
    digests: dict[bytes, tuple[str, Planted]] = field(default_factory=dict)
    _starts: tuple[int, np.ndarray] = field(default_factory=lambda: (0, np.empty(0, "<u8")))  # of so many digests

    def plant(self, place: str, scenario: str) -> str:
        text = f"{self.prefix}{len(self.planted):05d}zzz"  # base64 may cut its end
        planted = Planted(text, place, scenario)
        self.planted.append(planted)
        self.note(text.encode(), planted)
        return text

    def adopt(self, text: str, place: str, scenario: str) -> None:
        """A text that somebody else made, such as a token: looked for in every form, too, but as no digest."""
        self.adopted.append(Planted(text, place, scenario))

    def scenarios(self) -> list[str]:
        """What was tried, in its order."""
        return list(dict.fromkeys(one.scenario for one in self.planted + self.adopted))

    def note(self, content: bytes, planted: Planted) -> None:
        """Digests of this content are looked for too (a whole body, for example)."""
        for name in DIGESTS:
            self.digests[hashlib.new(name, content).digest()[:12]] = (f"{name} of it", planted)

    def note_body(self, body: bytes, scenario: str) -> None:
        self.note(body, Planted("", "the whole body", scenario))

    def search(
        self, sink: str, where: str, data: bytes, *, only: tuple[str, ...] = (), depth: int = 2
    ) -> Iterator[Hit]:
        """Every marker in ``data``, once per form and marker. ``only`` keeps the places that begin so."""
        for name, form in FORMS.items():
            others = [one for one in self.adopted if form(one.text) in data]
            for planted in [*self._matches(data, form), *others]:
                if not only or planted.place.startswith(only):
                    yield Hit(sink, where, name, planted.place, planted.scenario)
        for how, planted in self._digests_in(data):
            if not only or planted.place.startswith(only):
                yield Hit(sink, where, how, planted.place, planted.scenario)
        if depth:
            for how, plain in _unpacked(data):
                for hit in self.search(sink, where, plain, only=only, depth=depth - 1):
                    yield Hit(hit.sink, hit.where, f"{how}, {hit.form}", hit.place, hit.scenario)

    def _matches(self, data: bytes, form: Callable[[str], bytes]) -> set[Planted]:
        pattern = form(self.prefix)
        found: set[Planted] = set()
        start = 0
        while (start := data.find(pattern, start)) >= 0:
            window = data[max(0, start - 8) : start + 20 * len(pattern)]
            ours = self._near(window, form)
            found.update(ours or [Planted("", "a part of one", "unknown")])
            start += len(pattern)
        return found

    def _near(self, window: bytes, form: Callable[[str], bytes]) -> list[Planted]:
        """Which markers these few bytes hold whole."""
        raw = self.prefix.encode()
        if form is FORMS["raw"]:
            numbers = re.findall(re.escape(raw) + rb"(\d{5})z", window)
            return [self.planted[int(number)] for number in numbers if int(number) < len(self.planted)]
        return [one for one in self.planted if form(one.text) in window]

    def _digests_in(self, data: bytes) -> set[tuple[str, Planted]]:
        if not self.digests:
            return set()
        found = set()
        for run in re.findall(rb"[0-9a-fA-F]{24,}", data):
            found.add(self.digests.get(binascii.unhexlify(run[:24])))
        for run in re.findall(rb"[A-Za-z0-9+/_-]{16,}", data):
            found.add(self.digests.get(base64.b64decode(run[:16].replace(b"-", b"+").replace(b"_", b"/"))))
        if self._starts[0] != len(self.digests):  # one is added, and none is ever taken away
            starts = np.unique(np.frombuffer(b"".join(key[:8] for key in self.digests), dtype="<u8"))
            self._starts = len(self.digests), starts
        _, starts = self._starts
        for shift in range(min(8, len(data))):
            whole = np.frombuffer(data, dtype="<u8", offset=shift, count=(len(data) - shift) // 8)
            at = np.searchsorted(starts, whole)
            at[at == len(starts)] = 0
            for index in np.nonzero(starts[at] == whole)[0]:
                begin = shift + 8 * int(index)
                found.add(self.digests.get(data[begin : begin + 12]))
        return {one for one in found if one is not None}


def _unpacked(data: bytes) -> Iterator[tuple[str, bytes]]:
    """The plain text of every compressed stream that begins anywhere in ``data``."""
    for magic, wbits in ((rb"\x1f\x8b\x08", 31), (rb"\x78[\x01\x5e\x9c\xda]", 15)):
        for match in re.finditer(magic, data):
            try:
                plain = zlib.decompressobj(wbits).decompress(data[match.start() :], LARGEST_PLAIN)
            except zlib.error:
                continue
            if plain:
                yield "gzip" if wbits == 31 else "zlib", plain
    for match in re.finditer(rb"\x28\xb5\x2f\xfd", data):
        try:
            yield "zstd", zstd.ZstdDecompressor().decompress(data[match.start() :], LARGEST_PLAIN)
        except (zstd.ZstdError, EOFError):
            continue
