"""Evidence as its reader gets it: from the sockets into files, checked offline by the command."""

import json
import subprocess

import pytest

from gateway import variables
from gateway.evidence.statement import RECEIPT_HEADER, WELL_KNOWN, code_digest
from tests import fork_server
from tests.integration.conftest import eventually, prompt
from tests.raw_http import ask, request


def verify(*arguments) -> subprocess.CompletedProcess:
    return fork_server.run(["privacy", "verify", *map(str, arguments), "--json"], variables.for_child())


def receipt_later(running, rid):
    """The body of a stream's receipt, once it is settled."""
    path = f"/v1/requests/{rid}?receipt=1"
    return eventually(lambda: running.get(path), lambda answer: b'"signature"' in answer.body).body


def test_a_statement_and_receipts_of_one_gateway(running, tmp_path):
    statement = ask(running.url, request("GET", WELL_KNOWN))  # nobody has to sign in for it
    assert statement.status == 200
    headers = {**running.auth, RECEIPT_HEADER: "1"}
    path, body = prompt("openai", stream=False)
    held = ask(running.url, request("POST", path, body, headers=headers))
    path, body = prompt("anthropic")
    streamed = ask(running.url, request("POST", path, body, headers=headers))
    assert streamed.headers.get(RECEIPT_HEADER) is None  # its counts are known when it has ended
    texts = {
        "statement.json": statement.body,
        "held.txt": held.headers[RECEIPT_HEADER].encode(),
        "streamed.json": receipt_later(running, streamed.headers["x-request-id"]),
    }
    for name, text in texts.items():
        (tmp_path / name).write_bytes(text)
    stranger = verify(*(tmp_path / name for name in texts))
    assert stranger.returncode == 1
    assert "the signer is unknown" in stranger.stderr
    key = json.loads(stranger.stdout.splitlines()[0])["public_key"]
    done = verify(*(tmp_path / name for name in texts), "--key", key)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert [one["valid"] for one in found] == [True] * 3
    assert len({one["public_key"] for one in found}) == 1
    assert [one["document"]["type"] for one in found] == ["ai-privacy", "receipt", "receipt"]
    stated, first, second = (one["document"] for one in found)
    assert stated["code"] == code_digest()
    assert {one["policy"] for one in (stated, first, second)} == {stated["policy"]}
    assert first["rid"] == held.headers["x-request-id"]
    assert str(first["charge"]) == held.headers["x-credits-charged"]
    assert (second["provider"], second["region"], second["basis"]) == ("anthropic", "global", "reported")
    record = running.settled(second["rid"])
    assert second["counts"] == {name: record[name] for name in second["counts"]}
    if stated["hardening"]["writes_confined"] != "kernel lacks it":
        assert stated["hardening"]["writes_confined"] == "yes"


def test_what_was_altered_or_is_another_gateway_s_is_told(running, tmp_path):
    path = tmp_path / "statement.json"
    body = ask(running.url, request("GET", WELL_KNOWN)).body
    path.write_bytes(body.replace(b'"content_days":0', b'"content_days":1'))
    done = verify(path)
    assert done.returncode == 1
    assert "does not hold" in done.stderr
    path.write_bytes(body)
    done = verify(path, "--key", "A" * 43)
    assert done.returncode == 1
    assert "another key" in done.stderr
    assert json.loads(done.stdout)["valid"] is False


def test_who_does_not_ask_gets_no_receipt(running):
    path, body = prompt("openai", stream=False)
    for value in (None, "0", "yes"):
        headers = running.auth if value is None else {**running.auth, RECEIPT_HEADER: value}
        assert RECEIPT_HEADER not in ask(running.url, request("POST", path, body, headers=headers)).headers


def test_a_receipt_is_its_owner_s_alone(running):
    path, body = prompt("openai", stream=False)
    rid = ask(running.url, request("POST", path, body, headers=running.auth)).headers["x-request-id"]
    assert receipt_later(running, rid)
    other = running.gateway.session("somebody", 10)["access_token"]
    answer = ask(running.url, request("GET", f"/v1/requests/{rid}?receipt=1", headers={"x-api-key": other}))
    assert answer.status == 404


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_the_statement_is_read_alone(running, method):
    answer = ask(running.url, request(method, WELL_KNOWN))
    assert (answer.status, answer.headers["allow"], answer.headers["content-type"]) == (
        405,
        "GET",
        "application/problem+json",
    )
