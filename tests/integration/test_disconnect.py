"""A client that goes away stops its provider at once and pays for what was made."""

import socket

import pytest

from tests.integration.conftest import at_odd

KINDS = ["openai", "anthropic", "google"]


def test_before_the_first_byte_aborts_the_provider_and_costs_nothing(running):
    with running.client() as client:
        client.send(running.chat(script="hang"))
        running.sim.wait(requests=1)
    running.sim.wait(aborted=1, active=0)
    [line] = running.next_logged()
    assert line["outcome"] == "client_abort"
    assert running.settled(line["rid"])["status"] == "voided"
    assert running.quiet()["held"] == 0


def test_in_the_midst_of_a_refusal_costs_nothing(running, misbehaving):
    with at_odd(running, misbehaving, stream=False) as (client, provider):
        provider.sendall(b"HTTP/1.1 429 Too Many Requests\r\ncontent-length: 1000\r\n\r\n{")
        client.close()
        assert provider.recv(1) == b""
    [line] = running.next_logged()
    assert (line["status"], line["outcome"]) == (429, "provider_error")
    assert running.settled(line["rid"])["status"] == "voided"
    assert running.quiet()["held"] == 0


@pytest.mark.parametrize("kind", KINDS)
def test_inside_a_stream_aborts_the_provider_and_settles_partial(running, kind):
    with running.client() as client:
        client.send(running.chat(kind, "paced"))
        answer = client.head()
        assert answer.status == 200
        for _ in range(5):
            assert client.chunk()
    stats = running.sim.wait(aborted=1, active=0)
    assert stats["completed"] == 0
    record = running.settled(answer.rid)
    assert (record["status"], record["basis"], record["outcome"]) == ("settled", "partial", "client_abort")
    assert 0 < record["out_visible"] < 400
    assert running.credits()["held"] == 0


@pytest.mark.parametrize("script", ["hang", "paced", "hang-mid"])
def test_a_half_closed_client_counts_as_gone(running, script):
    with running.client() as client:
        client.send(running.chat(script=script))
        running.sim.wait(requests=1)
        if script != "hang":
            client.head()
            client.chunk()
        client.sock.shutdown(socket.SHUT_WR)
        running.sim.wait(aborted=1, active=0)
        [line] = running.next_logged()
    assert line["outcome"] == "client_abort"
    record = running.settled(line["rid"])
    assert record["status"] == "voided" if script == "hang" else record["basis"] == "partial"


@pytest.mark.parametrize("sent", [0, 30, -50_000], ids=["nothing", "half a head", "half a body"])
def test_who_half_closes_before_the_request_is_whole_gets_no_answer_and_pays_nothing(running, sent):
    before = running.quiet()
    with running.client() as client:
        client.send(running.chat(text="x" * 100_000)[:sent])
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ended() == b""
    assert running.credits() == before
    assert running.sim.stats()["requests"] == 0
    assert running.logged() == []


def test_of_pipelined_requests_a_half_close_ends_the_first_and_begins_no_other(running):
    with running.client() as client:
        client.send(running.chat(script="hang") + running.chat() * 3)
        running.sim.wait(requests=1)
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ended() == b""
    running.sim.wait(aborted=1, active=0)
    [line] = running.next_logged()
    assert running.settled(line["rid"])["status"] == "voided"
    assert running.sim.stats()["requests"] == 1


def test_who_half_closes_after_the_answer_has_it_whole_and_the_connection_ends(running):
    with running.client() as client:
        answer = client.send(running.chat()).answer()
        client.sock.shutdown(socket.SHUT_WR)
        assert client.ended() == b""
    assert answer.complete
    assert running.settled(answer.rid)["outcome"] == "completed"


def test_who_half_closes_inside_a_stream_pays_for_the_input_and_what_was_sent(running):
    with running.client() as client:
        client.send(running.chat("anthropic", "paced"))
        answer = client.head()
        for _ in range(5):
            client.chunk()
        client.sock.shutdown(socket.SHUT_WR)
        rest = client.ended()
    assert b"message_stop" not in rest
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("partial", "client_abort")
    assert record["in_uncached"] > 0
    assert 0 < record["out_visible"] < 400
    assert record["charge"] > 0


def test_a_reset_counts_as_gone(running):
    with running.client() as client:
        client.send(running.chat(script="paced"))
        answer = client.head()
        client.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    running.sim.wait(aborted=1, active=0)
    assert running.settled(answer.rid)["outcome"] == "client_abort"


def test_while_an_object_is_awaited_aborts_the_provider(running):
    with running.client() as client:
        client.send(running.chat(script="hang-mid", stream=False))
        running.sim.wait(requests=1)
    running.sim.wait(aborted=1, active=0)
    [line] = running.next_logged()
    assert running.settled(line["rid"])["basis"] == "partial"


def test_while_the_body_is_sent_holds_nothing(running):
    before = running.quiet()
    whole = running.chat(text="x" * 100_000)
    with running.client() as client:
        client.send(whole[:50_000])
    assert running.credits() == before
    assert running.sim.stats()["requests"] == 0
    assert running.logged() == []


def test_many_at_once_leave_nothing_behind(running):
    clients = [running.client() for _ in range(40)]
    for client in clients:
        client.send(running.chat(script="paced"))
    for client in clients:
        client.head()
    for client in clients:
        client.close()
    running.sim.wait(aborted=40, active=0)
    lines = running.next_logged(40)
    assert {running.settled(line["rid"])["basis"] for line in lines} == {"partial"}
    assert running.credits()["held"] == 0


def test_after_the_answer_is_no_abort(running):
    with running.client() as client:
        answer = client.send(running.chat()).answer()
    assert answer.complete
    record = running.settled(answer.rid)
    assert (record["basis"], record["outcome"]) == ("reported", "completed")
