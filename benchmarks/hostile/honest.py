"""Honest users: each streams one answer after the other and holds every byte against what the provider sends."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.request
from collections import Counter
from dataclasses import dataclass, field
from time import perf_counter
from urllib.parse import urlsplit

from benchmarks.hostile.stand import HONEST, HostileStand
from benchmarks.load.tally import Samples

PATIENCE = 60.0  # seconds for one answer
_CODE = re.compile(rb"(?i)\nx-error-code: ([a-z_]+)")
_VARYING = re.compile(rb'"id":"[^"]*"|"created":\d+|"model":"[^"]*"')


@dataclass(slots=True)
class Felt:
    """What all honest users felt in one phase.

    Attributes:
        first: Seconds to the first byte of an answer.
        whole: Seconds to its end.
        errors: By status and code, or the client's own.
        wrong: Answers with other bytes than the provider's.
        foreign: Processors that strangers kept busy meanwhile.
        direct: As ``first``, of those who asked the provider itself: what the gateway has no part in.
    """

    first: Samples = field(default_factory=Samples)
    whole: Samples = field(default_factory=Samples)
    errors: Counter[str] = field(default_factory=Counter)
    wrong: int = 0
    foreign: float = 0.0
    direct: Samples = field(default_factory=Samples)


def _body(model: str) -> bytes:
    return json.dumps(
        {
            "model": model,
            "stream": True,
            "stream_options": {"include_usage": True},
            "messages": [{"role": "user", "content": "hello"}],
        }
    ).encode()


class HonestUser:
    """One of them. Its connection is kept as long as it lives."""

    def __init__(self, stand: HostileStand, name: str, *, directly: bool = False) -> None:
        """Build it.

        Args:
            stand: Which has an account of this name.
            name: The user's.
            directly: It asks the provider itself, without the gateway between.
        """
        self._port = urlsplit(stand.sim.url).port if directly else stand.port
        body = _body(HONEST.format(user=name) if directly else name)
        self._request = (
            b"POST /v1/chat/completions HTTP/1.1\r\nhost: gateway\r\ncontent-type: application/json\r\n"
            b"authorization: Bearer %b\r\ncontent-length: %d\r\n\r\n%b" % (stand.tokens[name].encode(), len(body), body)
        )
        self._expected = _directly(stand.sim.url, HONEST.format(user=name))

    async def run(self, felt: Felt, until: float) -> None:
        """Ask until then (`perf_counter`)."""
        connection = None
        while perf_counter() < until:
            began = perf_counter()
            try:
                async with asyncio.timeout(PATIENCE):
                    connection = connection or await asyncio.open_connection("127.0.0.1", self._port)
                    status, answer = await self._ask(*connection, felt, began)
            except (OSError, EOFError, TimeoutError, ValueError) as error:
                felt.errors[type(error).__name__] += 1
                status, answer = 0, b""
            if status != 200:
                if status:
                    felt.errors[f"{status} {answer.decode()}".strip()] += 1
                if connection is not None:
                    connection[1].close()
                connection = None
                await asyncio.sleep(0.1)
                continue
            felt.whole.add(perf_counter() - began)
            felt.wrong += _VARYING.sub(b"", answer) != self._expected
        if connection is not None:
            connection[1].close()

    async def _ask(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, felt: Felt, began: float
    ) -> tuple[int, bytes]:
        """The status, and the answer; where there is none, the code of the error."""
        writer.write(self._request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = int(head[9:12])
        if status != 200 or b"transfer-encoding: chunked" not in head.lower():
            found = _CODE.search(head)
            return status or -1, b"" if found is None else found[1]
        pieces: list[bytes] = []
        while size := int(await reader.readline(), 16):
            if not pieces:
                felt.first.add(perf_counter() - began)
            pieces.append((await reader.readexactly(size + 2))[:-2])
        await reader.readexactly(2)
        return status, b"".join(pieces)


def _directly(url: str, model: str) -> bytes:
    """The answer as the provider sends it, without what differs from one to the next."""
    asked = urllib.request.Request(f"{url}/v1/chat/completions", _body(model), {"content-type": "application/json"})  # noqa: S310 - the simulator's
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=PATIENCE) as answer:
        return _VARYING.sub(b"", answer.read())
