"""A provider that answers with recorded bytes, in whatever pieces a network may bring them.

The model of the request names the recording: one server stands in for every provider.
"""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Self

from tests.corpus.recordings import Recording
from tests.corpus.test_usage import ENDLESS

PIECES = 12  # at most, in one answer
_MODEL = re.compile(rb'"model":\s*"(?:models/)?t(\d+)"')
_PATH_MODEL = re.compile(rb"/models/t(\d+):")


def target_of(name: str) -> str:
    """The provider's name for a recording: another than the client's, so that every body is rewritten."""
    return "t" + name[1:]


class ReplayServer:
    """Use as an asynchronous context manager. ``framings`` counts how the answers were delimited."""

    def __init__(self, recordings: Mapping[str, Recording]) -> None:
        self._recordings = recordings
        self.framings: Counter[str] = Counter()
        self.answered: Counter[str] = Counter()
        self.port = 0

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0, limit=1 << 20)
        self.port = self._server.sockets[0].getsockname()[1]
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while await self._answer(reader, writer):
                pass
        except (asyncio.IncompleteReadError, ConnectionError):
            pass  # the gateway has closed an idle connection
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One exchange; false where the connection ends with it."""
        head = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
        assert length is not None
        body = await reader.readexactly(int(length[1]))
        named = _PATH_MODEL.search(head.partition(b"\r\n")[0]) or _MODEL.search(body)
        assert named is not None
        recording = self._recordings[f"r{named[1].decode()}"]
        self.answered[recording.name] += 1
        chance = random.Random(recording.name)
        # A body that only the close ends must have an end of its own, or it was cut.
        framing = chance.choice(["chunked", "length", *(["close"] if recording.id not in ENDLESS else [])])
        self.framings[framing] += 1
        for piece in _cut(_framed(recording, framing, chance), chance):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0)  # let the gateway's connection see it alone
        return framing != "close"


def _framed(recording: Recording, framing: str, chance: random.Random) -> bytes:
    lines = [f"HTTP/1.1 {recording.status} Recorded"]
    lines += [f"{name}: {value}" for name, value in recording.headers.items()]
    body = recording.body
    if framing == "chunked":
        lines.append("transfer-encoding: chunked")
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in _cut(body, chance)) + b"0\r\n\r\n"
    elif framing == "length":
        lines.append(f"content-length: {len(body)}")
    else:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode() + body


def _cut(data: bytes, chance: random.Random) -> Iterator[bytes]:
    """``data`` whole, or in up to `PIECES` pieces cut anywhere."""
    cuts = chance.choice([0, 0, 1, 3, PIECES - 1])
    places = sorted(chance.randrange(1, len(data)) for _ in range(cuts)) if len(data) > 1 else []
    start = 0
    for place in (*places, len(data)):
        if place > start:
            yield data[start:place]
        start = place
