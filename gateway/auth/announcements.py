"""Announcements to every worker of every gateway: one channel, a closed set of events.

Rules:

1. An announcement only speeds up a change: a worker that misses it sees the change when its cache entry expires. So a
   failed announcement does not fail its caller, and a listener reports that it was disconnected and may have missed
   something (``on_gap``).
2. It contains only ids that the gateway created: no token and no user's text. A message of another form is dropped.
3. It is ordinary pub/sub: on a Cluster every node forwards every announcement, so one connection to any node receives
   all of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import re
from collections.abc import Awaitable, Callable
from enum import StrEnum
from typing import Any

import hiredis
import msgspec
from redis.exceptions import RedisError

from gateway.auth.principal import Client, is_sid
from metering import keys
from metering.background import end
from metering.store.link import StoreEndpoint

CHANNEL = "codegrex:announcements:1"
CONNECT_SECONDS = 2.0
PING_SECONDS = 2.0  # of silence, after which the connection is asked whether it lives; as long again, and it is left
BACKOFF = (0.02, 1.0)

_PID = re.compile(r"p[a-z0-9]{1,39}")
_ORG = re.compile(r"[0-9a-f]{64}")


class Topic(StrEnum):
    SESSION_REVOKED = "session_revoked"  # sid; also the end of its refresh family, which has the same id
    POLICY_CHANGED = "policy_changed"  # pid: of the account or of one of its sessions; or org: of its members
    SUPERSEDED = "superseded"  # sid, slot, rid: the older request, which ends
    SWITCHED = "switched"  # nothing: what is off is in the store


class Announcement(msgspec.Struct, frozen=True, omit_defaults=True):
    """One event. ``slot`` is the integer of ``x-supersede-key``, ``rid`` the request that a newer one took it from,
    ``org`` an organisation's digest.
    """

    topic: Topic = msgspec.field(name="kind")  # the name on the channel
    sid: str = ""
    pid: str = ""
    slot: int = 0
    rid: str = ""
    org: str = ""

    def valid(self) -> bool:
        """Whether it has the ids that its topic requires, and nothing else."""
        if self.topic is Topic.POLICY_CHANGED:
            named = _ORG.fullmatch(self.org) if self.org else _PID.fullmatch(self.pid)
            return named is not None and self.sid == self.rid == "" and not (self.org and self.pid)
        if self.topic is Topic.SWITCHED:
            return self == Announcement(Topic.SWITCHED)
        of_session = is_sid(self.sid) and self.pid == self.org == ""
        if self.topic is Topic.SUPERSEDED:
            return of_session and 0 <= self.slot <= 65_535 and keys.is_id(self.rid)
        return of_session and self.rid == ""


Handler = Callable[[Announcement], None]

_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Announcement)


async def publish(client: Client, announcement: Announcement) -> bool:
    """Tell every worker; false if the store could not be asked, which the caller may ignore.

    Raises:
        ValueError: It is not of its kind's form.
    """
    if not announcement.valid():
        raise ValueError("an announcement holds the ids of its kind and nothing else")
    try:
        await client.execute_command("PUBLISH", CHANNEL, _encoder.encode(announcement))
    except (RedisError, OSError):
        return False
    return True


class Listener:
    """One worker's ear. ``handlers`` are called in the order of what happened, on the event loop.

    Args:
        endpoint: Where the store listens now (`metering.store.store.Store.endpoint`), asked before each connection.
        on_gap: Called at each connection but the first: something may have been missed.
        on_fault: Gets the exceptions of handlers; the listener continues.
    """

    def __init__(
        self,
        endpoint: Callable[[], Awaitable[StoreEndpoint]],
        *,
        on_gap: Callable[[], None] = lambda: None,
        on_fault: Callable[[Exception], None] = lambda _error: None,
    ) -> None:
        self._endpoint = endpoint
        self._handlers: dict[Topic, list[Handler]] = {topic: [] for topic in Topic}
        self._on_gap = on_gap
        self._on_fault = on_fault
        self._task: asyncio.Task[None] | None = None
        self._listening = asyncio.Event()
        self._connected_before = False

    def on(self, topic: Topic, handler: Handler) -> None:
        """Call ``handler`` for each announcement on a topic. It must not block."""
        self._handlers[topic].append(handler)

    async def start(self, timeout: float = CONNECT_SECONDS) -> None:
        """Start listening. Waits up to ``timeout`` seconds for the first subscription."""
        self._task = asyncio.get_running_loop().create_task(self._run())
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._listening.wait(), timeout)

    @property
    def listening(self) -> bool:
        """Whether announcements are heard now, as far as is known."""
        return self._listening.is_set()

    async def close(self) -> None:
        await end(self._task)

    async def _run(self) -> None:
        delay, longest = BACKOFF
        while True:
            with contextlib.suppress(OSError, RedisError, EOFError, hiredis.HiredisError):  # TimeoutError is an OSError
                await self._listen()
            if self._listening.is_set():
                delay = BACKOFF[0]
            self._listening.clear()
            await asyncio.sleep(delay * random.uniform(0.5, 1.0))  # noqa: S311 - spreads reconnects
            delay = min(delay * 2, longest)

    async def _listen(self) -> None:
        """One connection, until it fails."""
        async with asyncio.timeout(CONNECT_SECONDS):
            endpoint = await self._endpoint()
            reader, writer = await _open(endpoint)
        try:
            for command in (*endpoint.greeting(), ("SUBSCRIBE", CHANNEL)):
                writer.write(hiredis.pack_command(command))  # type: ignore[arg-type] # its stub names a 1-tuple
            await self._receive(reader, writer)
        finally:
            writer.transport.abort()

    async def _receive(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        replies = hiredis.Reader()
        asked = False
        while True:
            try:
                async with asyncio.timeout(PING_SECONDS):
                    data = await reader.read(65_536)
            except TimeoutError:
                if asked:
                    raise
                asked = True
                writer.write(hiredis.pack_command(("PING",)))
                continue
            if not data:
                raise EOFError
            asked = False
            replies.feed(data)
            while (reply := replies.gets()) is not False:
                self._take(reply)

    def _take(self, reply: Any) -> None:
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        if not isinstance(reply, list) or len(reply) != 3:
            return
        if reply[0] == b"subscribe":
            if self._connected_before:
                self._guarded(self._on_gap)
            self._connected_before = True
            self._listening.set()
        elif reply[0] == b"message":
            try:
                announcement = _decoder.decode(reply[2])
            except (msgspec.DecodeError, UnicodeDecodeError):
                return
            if announcement.valid():
                for handler in self._handlers[announcement.topic]:
                    self._guarded(handler, announcement)

    def _guarded(self, handler: Callable[..., None], *arguments: Announcement) -> None:
        try:
            handler(*arguments)
        except Exception as error:  # noqa: BLE001 - one handler's fault must not make the worker deaf
            self._on_fault(error)


async def _open(endpoint: StoreEndpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    connect: Awaitable[tuple[asyncio.StreamReader, asyncio.StreamWriter]]
    if endpoint.path is not None:
        connect = asyncio.open_unix_connection(endpoint.path)
    else:
        connect = asyncio.open_connection(endpoint.host, endpoint.port, ssl=endpoint.tls)
    return await connect
