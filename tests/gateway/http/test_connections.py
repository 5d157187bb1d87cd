"""The table of client connections: its bounds, whom a new one displaces, and that nothing is kept of what has gone."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.http.connections import UNREAD_SECONDS, Connections, Ended, room_for, source_of
from gateway.telemetry.instruments import _ENDED

MOST, OF_ONE, HEAD_SECONDS = 6, 4, 10.0


class Client:
    def __init__(self):
        self.streams = False
        self.ended = False

    def end(self):
        self.ended = True


class Table(RuleBasedStateMachine):
    """Clients come from three addresses and do whatever they like, in any order."""

    def __init__(self):
        super().__init__()
        self.now = 0.0
        self.why = []
        self.table = Connections(MOST, OF_ONE, HEAD_SECONDS, clock=lambda: self.now, on_ended=self.why.append)
        self.waits = {}  # client -> what it waits for and since when, or None if it is being answered
        self.source = {}

    def alive(self):
        return [client for client in self.waits if not client.ended]

    def forget_the_ended(self):
        for client in [client for client in self.waits if client.ended]:
            del self.waits[client]

    def order(self, clients):
        """Those that may be displaced, in the order in which they are."""
        waiting = [(self.waits[client], number, client) for number, client in enumerate(clients) if self.waits[client]]
        return [client for _, _, client in sorted(waiting, key=lambda one: (one[0][0] != "head", one[0][1]))]

    @rule(source=st.sampled_from([b"a", b"b", b"c"]))
    def come(self, source):
        client, before = Client(), self.alive()
        mates = [one for one in before if self.source[one] == source]
        crowd = mates if len(mates) >= OF_ONE else before if len(before) >= MOST else []
        victims = self.order(crowd)
        came = self.table.admit(client, source)
        assert came == (not crowd or bool(victims))
        if crowd and victims:
            assert [one for one in before if one.ended] == victims[:1]
        else:
            assert not any(one.ended for one in before)
        self.forget_the_ended()
        if came:
            self.waits[client], self.source[client] = ("head", self.now), source
            self.now += 0.001  # so that no two have waited for the same time

    @precondition(lambda self: self.waits)
    @rule(data=st.data(), act=st.sampled_from(["asked", "answered", "asks", "stands", "flows", "gone", "streams"]))
    def do(self, data, act):
        client = data.draw(st.sampled_from(list(self.waits)))
        state = self.waits[client]
        if act == "streams":
            client.streams = not client.streams
            return
        getattr(self.table, act)(client)
        if act == "asked":
            self.waits[client] = None
        elif act == "answered":
            self.waits[client] = ("idle", self.now)
        elif act == "asks" and state is not None and state[0] == "idle":
            self.waits[client] = ("head", self.now)
        elif act == "gone":
            del self.waits[client]
            self.table.gone(client)
        self.now += 0.001

    @rule(seconds=st.sampled_from([1.0, HEAD_SECONDS, UNREAD_SECONDS]))
    def wait(self, seconds):
        self.now += seconds
        self.table.sweep()
        for client, state in list(self.waits.items()):
            late = state is not None and state[0] == "head" and self.now - state[1] >= HEAD_SECONDS
            assert client.ended or not late
            assert not client.ended or late or not client.streams
        self.forget_the_ended()

    @invariant()
    def adds_up(self):
        assert len(self.table) == len(self.waits) <= MOST
        assert self.table.sources == len({self.source[client] for client in self.waits})

    def teardown(self):
        for client in self.waits:
            self.table.gone(client)
        assert len(self.table) == self.table.sources == 0
        assert all(not kept for kept in (self.table._waiting.heads, self.table._waiting.idle, self.table._unread))
        assert self.table.short == sum(why in {Ended.DISPLACED, Ended.REFUSED} for why in self.why)


TestTable = Table.TestCase
TestTable.settings = settings(max_examples=60, stateful_step_count=40)


def test_a_client_that_takes_nothing():
    now = 0.0
    table = Connections(MOST, OF_ONE, HEAD_SECONDS, clock=lambda: now)
    reader, stream, deaf = clients = [Client() for _ in range(3)]
    stream.streams = True
    for client in clients:
        table.admit(client, b"a")
        table.asked(client)
        table.stands(client)
    table.flows(reader)
    now += UNREAD_SECONDS
    table.sweep()
    assert [client.ended for client in clients] == [False, False, True]
    assert deaf.ended
    stream.streams = False  # it is over: what is left of it is not waited for for ever
    now += UNREAD_SECONDS
    table.sweep()
    assert [client.ended for client in clients] == [False, True, True]


def test_behind_a_proxy_a_new_connection_may_be_quiet():
    now = 0.0
    table = Connections(MOST, MOST, HEAD_SECONDS, patient=True, clock=lambda: now)
    quiet, slow = Client(), Client()
    assert table.admit(quiet, b"")
    assert table.admit(slow, b"")
    table.asks(slow)
    now += HEAD_SECONDS
    table.sweep()
    assert (quiet.ended, slow.ended) == (False, True)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("192.0.2.1", "192.0.2.2", False),
        ("192.0.2.1", "::ffff:192.0.2.1", True),
        ("2001:db8::1", "2001:db8::ffff", True),
        ("2001:db8::1", "2001:db8:0:1::1", False),
        ("fe80::1%lo", "fe80::2", True),
        ("", "no address", True),
    ],
)
def test_what_is_one_address(one, other, same):
    assert (source_of(one) == source_of(other)) == same


@pytest.mark.parametrize(("descriptors", "room"), [(300, 118), (1_000_000, 10_000), (64, 16)])
def test_half_of_a_table_is_for_providers(descriptors, room):
    assert room_for(descriptors, 10_000) == room


def test_every_cause_is_counted():
    assert {why.value for why in Ended} == set(_ENDED)
