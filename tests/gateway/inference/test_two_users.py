"""A connection belongs to one exchange at a time: two users, one after the other on the same kept connection.

A state machine over everything that either of them, their clients and the provider can do. Sockets are real. What a
former user does (its client stalls, drains, leaves, is stopped) must never reach the one who has the connection now.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gateway.inference import relay as relays
from gateway.inference.relay import Relay, RelayState, Watch
from gateway.upstream.connection import Connection
from tests.gateway.upstream_peer import REQUEST

HOLD = 20_000  # in place of the relay's own, so that sizes around it take no time
SIZES = st.sampled_from([1, 4_000, HOLD - 1, HOLD, HOLD + 1, 2 * HOLD, 90_000])


class Client(asyncio.Protocol):
    relay: Relay | None = None
    paused = False

    def pause_writing(self) -> None:
        self.paused = True
        if self.relay is not None:
            self.relay.pause()

    def resume_writing(self) -> None:
        self.paused = False
        if self.relay is not None:
            self.relay.resume()


class User:
    """One exchange: its relay, its client's two ends, and what its provider has sent of its body."""

    def __init__(self, letter: bytes, relay: Relay, length: int) -> None:
        self.letter = letter
        self.relay = relay
        self.left = self.length = length
        self.protocol: Client | None = None
        self.transport: asyncio.Transport | None = None
        self.client: socket.socket | None = None
        self.heard = 0


class TwoUsers(RuleBasedStateMachine):
    # No preconditions: what the sockets have taken is the kernel's timing, and a rule that does not apply does nothing.

    @initialize()
    def start(self) -> None:
        self.hold_bytes, relays.HOLD_BYTES = relays.HOLD_BYTES, HOLD
        self.loop = asyncio.new_event_loop()
        self.near, self.provider = socket.socketpair()
        self.near.setblocking(False)
        self.provider.setblocking(False)
        self.connection = self._on_loop(self._connect)
        self.users: list[User] = []
        self.unsent = b""
        self.reading = True

    async def _connect(self) -> Connection:
        return Connection(asyncio.get_running_loop(), self.near)

    def _on_loop(self, make):
        return self.loop.run_until_complete(make())

    def turn(self) -> None:
        """A few turns of the loop, with the provider writing as far as it is let."""

        async def turns() -> None:
            for _ in range(6):
                with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
                    while self.unsent:
                        self.unsent = self.unsent[self.provider.send(self.unsent) :]
                await asyncio.sleep(0)

        self.loop.run_until_complete(turns())

    @property
    def current(self) -> User | None:
        return self.users[-1] if self.users and not self.users[-1].relay.over else None

    @rule(length=SIZES, streaming=st.booleans())
    def begin(self, length: int, streaming: bool) -> None:
        if self.connection.closed or self.current is not None or len(self.users) == 4:
            return
        relay = Relay(self.loop, self.connection, lambda *_: Watch(None, flows=streaming))
        user = User(b"ABCD"[len(self.users) :][:1], relay, length)
        self.users.append(user)

        async def send() -> None:
            self.connection.send([REQUEST], relay)

        self._on_loop(send)
        self.unsent += b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % length
        self.turn()

    @rule(share=st.sampled_from([0.1, 0.5, 1]))
    def provider_sends(self, share: float) -> None:
        user = self.current
        if user is None or not user.left:
            return
        count = max(1, int(user.left * share))
        user.left -= count
        self.unsent += user.letter * count
        self.turn()

    @rule(chunked=st.booleans(), reads=st.booleans())
    def open_client(self, chunked: bool, reads: bool) -> None:
        user = next((u for u in self.users if u.relay.ready.done() and u.client is None), None)
        if user is None:
            return

        async def open_it() -> None:
            near, user.client = socket.socketpair()
            near.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4_096)
            user.client.setblocking(False)
            user.transport, user.protocol = await self.loop.create_connection(Client, sock=near)
            user.protocol.relay = user.relay
            user.relay.open(user.transport, chunked=chunked)

        self._on_loop(open_it)
        self.turn()
        if reads:
            self.client_reads(user)

    @rule(index=st.integers(0, 3))
    def a_client_reads(self, index: int) -> None:
        opened = [u for u in self.users if u.client is not None]
        if opened:
            self.client_reads(opened[index % len(opened)])

    def client_reads(self, user: User) -> None:
        for _ in range(200):
            try:
                data = user.client.recv(1 << 20)
            except (BlockingIOError, ConnectionResetError):
                self.turn()
                try:
                    data = user.client.recv(1 << 20)
                except (BlockingIOError, ConnectionResetError):
                    return
            if not data:
                return
            for letter in b"ABCD":
                if letter != user.letter[0]:
                    # Framing has lower-case hexadecimal digits only.
                    assert bytes([letter]) not in data, "another user's bytes"
            user.heard += data.count(user.letter)
            self.turn()

    @rule(act=st.sampled_from(["pause", "resume", "stop", "close"]), index=st.integers(0, 3))
    def a_former_user_acts(self, act: str, index: int) -> None:
        former = [u for u in self.users if u.relay.over]
        if not former:
            return
        getattr(former[index % len(former)].relay, act)()
        self.turn()

    @rule(leaves=st.sampled_from([False, False, False, True]))
    def the_client_leaves(self, leaves: bool) -> None:
        if leaves and self.current is not None:
            self.current.relay.close()
            self.turn()

    @invariant()
    def only_the_present_user_pauses_the_connection(self) -> None:
        if not hasattr(self, "connection") or self.connection.closed or not self.connection.paused:
            return
        user = self.current
        assert user is not None, "an idle connection is paused"
        stalled = user.protocol is not None and user.protocol.paused
        held = user.client is None and user.relay.state is RelayState.HOLDING
        assert stalled or held, "paused by nobody who has it"

    def teardown(self) -> None:
        """Whoever is left gets its whole answer once its own client reads."""
        if not hasattr(self, "loop"):
            return
        relays.HOLD_BYTES = self.hold_bytes
        user = self.current
        if user is not None and not self.connection.closed:
            self.unsent += user.letter * user.left
            self.turn()
            if user.client is None and user.relay.ready.done() and not user.relay.over:
                self.open_client(chunked=False, reads=True)
            if user.client is not None:
                for _ in range(50):
                    self.client_reads(user)
                    if user.relay.over:
                        break
                assert user.relay.over, "its answer is never read"
                assert user.relay.fault is None
        self.connection.close()
        for one in self.users:
            one.relay.close()
            if one.transport is not None:
                one.transport.abort()
            if one.client is not None:
                one.client.close()
        self.provider.close()
        self.turn()
        self.loop.close()


TestTwoUsers = TwoUsers.TestCase
TestTwoUsers.settings = settings(
    max_examples=120, stateful_step_count=20, deadline=None, suppress_health_check=list(HealthCheck)
)
