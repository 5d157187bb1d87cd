"""What hostile users do, each kind with an account and some connections of its own.

A process of its own: what it costs to attack is not the gateway's. It prints a line when it is ready and begins,
and one JSON object when it ends: by kind, how often each status came back, each error, and what was done to its end.
"""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import random
import secrets
import socket
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from time import monotonic

CHAT = "/v1/chat/completions"
MIB = 1 << 20
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass(slots=True)
class Attacker:
    """One hostile user: its token, and what it was answered."""

    port: int
    token: str
    answered: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=random.Random)

    async def open(self, *, receive: int = 0) -> Pair:
        sock = socket.socket()
        sock.setblocking(False)
        if receive:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        return await asyncio.open_connection(sock=sock, limit=receive or 65_536)

    def request(
        self, body: bytes = b"", path: str = CHAT, method: str = "POST", *, length: int = -1, **more: str
    ) -> bytes:
        headers = {
            "authorization": f"Bearer {self.token}",
            **{name.replace("_", "-"): text for name, text in more.items()},
        }
        if method == "POST":
            headers["content-length"] = str(len(body) if length < 0 else length)
        lines = [f"{method} {path} HTTP/1.1", "host: gateway", *(f"{name}: {text}" for name, text in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode() + body

    async def answer(self, reader: asyncio.StreamReader, *, rest: float = 0.0) -> None:
        """Read one answer, resting between reads, and count its status."""
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        self.answered[head[9:12].decode()] += 1
        if b"transfer-encoding: chunked" in head:
            while size := int(await reader.readline(), 16):
                await reader.readexactly(size + 2)
                await asyncio.sleep(rest)
            await reader.readexactly(2)
            return
        left = int(head.partition(b"content-length: ")[2].partition(b"\r\n")[0] or 0)
        while left:
            piece = await reader.read(min(left, 16_384))
            if not piece:
                raise EOFError
            left -= len(piece)
            await asyncio.sleep(rest)


def _chat(model: str, text: str = "hi", *, stream: bool = False) -> bytes:
    return json.dumps({"model": model, "stream": stream, "messages": [{"role": "user", "content": text}]}).encode()


async def slow_senders(me: Attacker) -> None:
    """A body that comes a byte at a time."""
    _, writer = await me.open()
    try:
        writer.write(me.request(length=20_000))
        for _ in range(150):
            writer.write(b" ")
            await writer.drain()
            await asyncio.sleep(0.2)
    finally:
        writer.transport.abort()


async def slow_readers(me: Attacker) -> None:
    """A long stream, read slower than it comes."""
    reader, writer = await me.open(receive=4_096)
    try:
        writer.write(me.request(_chat("long", stream=True)))
        for _ in range(100):
            if not await reader.read(2_048):
                break
            await asyncio.sleep(0.2)
    finally:
        writer.transport.abort()


_BOMBS: list[tuple[bytes, str]] = []


def _bombs() -> list[tuple[bytes, str]]:
    """Bodies that are small and become large, and bodies that are dense or deep."""
    if not _BOMBS:
        dense = b'{"model":"short","messages":[' + b"{}," * (MIB // 3) + b"{}]}"
        _BOMBS.extend(
            [
                (gzip.compress(b" " * (30 * MIB)), "gzip"),
                (gzip.compress(b"[" * MIB), "gzip"),
                (gzip.compress(dense), "gzip"),
                (b"".join(gzip.compress(b" ", mtime=0) for _ in range(2_000)), "gzip"),
                (dense, "identity"),
                (b"[" * MIB, "identity"),
                (b'{"a":' * 100_000, "identity"),
                (b'{"model":"short","x":"' + b"\\u0041" * (MIB // 6) + b'","messages":[]}', "identity"),
                (b"{" + b",".join(b'"k%d":1' % n for n in range(80_000)) + b"}", "identity"),
            ]
        )
    return _BOMBS


async def bombs(me: Attacker) -> None:
    reader, writer = await me.open()
    try:
        for body, coding in me.chance.sample(_bombs(), 3):
            writer.write(me.request(body, content_encoding=coding))
            await me.answer(reader)
    finally:
        writer.transport.abort()


async def refused(me: Attacker) -> None:
    """What is refused, or costs nothing, as fast as it is answered."""
    count = json.dumps({"model": "claude", "messages": [{"role": "user", "content": "hi"}]}).encode()
    asked = [
        me.request(b"{"),
        me.request(b"{}", "/v1/nothing"),
        me.request(count, "/v1/messages/count_tokens"),
        me.request(_chat("no-such-model")),
        me.request(path="/v1/models?key=a", method="GET"),
    ]
    reader, writer = await me.open()
    try:
        for number in range(200):
            writer.write(asked[number % len(asked)])
            await me.answer(reader)
    finally:
        writer.transport.abort()


async def bad_tokens(me: Attacker) -> None:
    reader, writer = await me.open()
    other = Attacker(me.port, "", me.answered)
    try:
        for _ in range(100):
            other.token = f"cgx_at_{secrets.token_urlsafe(48)}"
            writer.write(other.request(_chat("short")))
            await me.answer(reader)
    finally:
        writer.transport.abort()


async def aborts(me: Attacker) -> None:
    """Streams that their reader breaks off."""
    reader, writer = await me.open()
    try:
        writer.write(me.request(_chat("long", stream=True)))
        async with asyncio.timeout(me.chance.random() * 0.2):
            while await reader.read(65_536):
                pass
    finally:
        writer.transport.abort()


async def pausers(me: Attacker) -> None:
    """Large answers that are no streams, read with rests, on a connection that goes on."""
    reader, writer = await me.open(receive=8_192)
    try:
        for _ in range(3):
            writer.write(me.request(_chat("big")))
            await me.answer(reader, rest=me.chance.choice((0.0, 0.01, 0.2)))
    finally:
        writer.transport.abort()


async def pipelining(me: Attacker) -> None:
    """Many requests at once, whose answers are not read for a while."""
    reader, writer = await me.open(receive=4_096)
    try:
        for _ in range(60):
            writer.write(me.request(path="/v1/models", method="GET") + me.request(_chat("short")))
        await asyncio.sleep(2)
        async with asyncio.timeout(2):
            while True:
                await me.answer(reader)
    finally:
        writer.transport.abort()


async def half_closes(me: Attacker) -> None:
    """The writing side ends in the middle of a body, after a request, or while its answer streams."""
    reader, writer = await me.open()
    whole = me.request(_chat("long", stream=True))
    try:
        where = me.chance.randrange(3)
        writer.write(whole[:-20] if where == 0 else whole)
        if where == 2:
            await reader.read(1_000)
        writer.write_eof()
        async with asyncio.timeout(5):
            while await reader.read(65_536):
                pass
    finally:
        writer.transport.abort()


async def masks(me: Attacker) -> None:
    """Texts full of what might be a secret."""
    shapes = ("+49 30 1234567 ", "0301234567890123 ", "4111 1111 1111 1111 ", "a@b.example ", "AKIA1234567890ABCDEF ")
    text = "".join(me.chance.choice(shapes) for _ in range(me.chance.choice((500, 20_000))))
    reader, writer = await me.open()
    try:
        writer.write(me.request(_chat("short", text)))
        await me.answer(reader)
    finally:
        writer.transport.abort()


KINDS: dict[str, tuple[Callable[[Attacker], Awaitable[None]], int]] = {  # and how many connections at once
    "slow-senders": (slow_senders, 30),
    "slow-readers": (slow_readers, 20),
    "bombs": (bombs, 4),
    "refused": (refused, 4),
    "bad-tokens": (bad_tokens, 4),
    "aborts": (aborts, 8),
    "pausers": (pausers, 8),
    "pipelining": (pipelining, 4),
    "half-closes": (half_closes, 8),
    "masks": (masks, 4),
}


async def attack(port: int, tokens: dict[str, str], seconds: float) -> dict[str, dict[str, int]]:
    """Let each of the kinds in ``tokens`` go on for so long; by kind, what was answered."""
    users = {kind: Attacker(port, token) for kind, token in tokens.items()}
    until = monotonic() + seconds

    async def go_on(kind: str) -> None:
        while monotonic() < until:
            try:
                async with asyncio.timeout(max(0.1, until - monotonic())):
                    await KINDS[kind][0](users[kind])
                users[kind].answered["rounds"] += 1
            except (OSError, EOFError, TimeoutError, ValueError, asyncio.LimitOverrunError) as error:
                users[kind].answered[type(error).__name__] += 1
                await asyncio.sleep(0.02)

    async with asyncio.TaskGroup() as group:
        for kind in users:
            for _ in range(KINDS[kind][1]):
                group.create_task(go_on(kind))
    return {kind: dict(user.answered) for kind, user in users.items()}


def main() -> None:
    """Reads ``{"port", "tokens", "seconds"}`` from standard input."""
    logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns of each write to a connection that was cut off
    told = json.load(sys.stdin)
    if "bombs" in told["tokens"]:
        _bombs()
    print("ready", flush=True)
    found = asyncio.run(attack(**told))
    with suppress(BrokenPipeError):
        sys.stdout.write(json.dumps(found) + "\n")


if __name__ == "__main__":
    main()
