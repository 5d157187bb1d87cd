"""Whose fault a provider's error is, on real sockets: the operator's key and account are never the caller's trouble.

Each test has providers that no other test uses, since a worker remembers how their keys fared.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator

import pytest

from gateway.upstream.keys import preference
from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running, eventually
from tests.raw_http import ask, request
from tests.raw_provider import RawProvider, body, data_event, stream

CHAT = "/v1/chat/completions"
LOW = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to purchase credits."
REQUESTS = 8
PLACES = 60  # providers with two keys, and one model each; the last ones have three keys
TRIPLE = 4


def completion(**headers):
    choice = {"index": 0, "message": {"role": "assistant", "content": "ok"}, "finish_reason": "stop"}
    usage = {"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 12}
    answer = {"id": "c", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice], "usage": usage}
    return body(answer, **headers)


def error(message, code=None, type_="invalid_request_error", *, status, **headers):
    return body({"error": {"message": message, "type": type_, "param": None, "code": code}}, status=status, **headers)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory):
    with RawProvider() as raw:
        providers, models = {}, []
        for place in range(PLACES):
            keys = [f"key-{place}-{letter}" for letter in ("abc" if place >= PLACES - TRIPLE else "ab")]
            for part in ("x", "y"):
                name = f"p{place}{part}"
                providers[name] = provider("openai", f"{raw.url}/{name}", company=f"c{place}", api_keys=keys)
            models.append(model(f"m{place}", f"p{place}x"))
            both = [{"provider": f"p{place}{part}", "model": f"m{place}"} for part in ("x", "y")]
            models.append({**model(f"both{place}", ""), "targets": both})
        gateway = GatewayProcess(tmp_path_factory.mktemp("gateway"), providers, models)
        with gateway:
            session = gateway.session("user", 100_000)
            yield raw, Running(gateway, raw, session["access_token"], session["pid"])


class Place:
    """Providers with fresh keys, which answer as ``answers`` says for each key. A key is named by its place in the order
    in which the account's requests use them: ``a`` is the one that they stay with.
    """

    def __init__(self, raw, running, number):
        self.raw, self.running, self.number = raw, running, number
        self.answers = {}
        self.letters = "abc" if number >= PLACES - TRIPLE else "ab"
        raw.seen.clear()
        raw.script = lambda request, _sock: self.answers.get(key_of(request), completion())
        self.seen = len(running.gateway.log.read_bytes())

    def key(self, letter, part="x"):
        return f"p{self.number}{part}", f"key-{self.number}-{'abc'[self.position(letter, part)]}"

    def position(self, letter, part="x"):
        """Where a key stands in the configuration, from 0."""
        order = preference(f"p{self.number}{part}", self.running.pid, (1,) * len(self.letters))
        return order["abc".index(letter)]

    def refuse(self, letter, answer, part="x"):
        self.answers[self.key(letter, part)] = answer

    def ask(self, name="m", text="hi"):
        asked = {"model": f"{name}{self.number}", "messages": [{"role": "user", "content": text}]}
        return ask(self.running.url, request("POST", CHAT, json.dumps(asked).encode(), headers=self.running.auth))

    def used(self):
        """Part and letter of each request that the provider saw, and forget them."""
        seen = [key_of(request) for request in self.raw.seen]
        self.raw.seen.clear()
        letters = {self.key(letter, part): f"{part}{letter}" for part in "xy" for letter in self.letters}
        return [letters[one] for one in seen]

    def metric(self, name, **labels):
        text = ask(self.running.gateway.internal, request("GET", "/metrics")).body.decode()
        series = f"{name}{{" + ",".join(f'{label}="{value}"' for label, value in labels.items()) + "}"
        return next(int(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(series + " "))

    def events(self, event="provider_account_fault"):
        lines = self.running.gateway.log.read_bytes()[self.seen :].splitlines()
        return [line for line in map(json.loads, lines) if line["event"] == event]


def key_of(request):
    bearer = next(line for line in request.head.splitlines() if line.lower().startswith(b"authorization: "))
    return request.path.split("/")[1], bearer.decode().rpartition(" ")[2]


@pytest.fixture(scope="module")
def numbers() -> Iterator[int]:
    return iter(range(PLACES - TRIPLE))


@pytest.fixture(scope="module")
def triples() -> Iterator[int]:
    return iter(range(PLACES - TRIPLE, PLACES))


@pytest.fixture
def place(gateway, numbers):
    return Place(*gateway, next(numbers))


@pytest.fixture
def triple(gateway, triples):
    return Place(*gateway, next(triples))


# -- keys --------------------------------------------------------------------------------------

DEAD = {
    "401": error("Incorrect API key provided", "invalid_api_key", status="401 Unauthorized"),
    "401 without a body": body(b"", status="401 Unauthorized"),
    "402": error("Insufficient Balance", status="402 Payment Required"),
    "403": error("You have insufficient permissions for this operation.", status="403 Forbidden"),
    "400": body({"code": "invalid-argument", "error": "Incorrect API key provided. See x"}, status="400 Bad Request"),
    "429 for ever": error("You exceeded your quota", "insufficient_quota", status="429 Too Many Requests"),
    "429": error("Rate limit", "rate_limit_exceeded", status="429 Too Many Requests", retry_after="600"),
    "429 that says no time": error("Rate limit", "rate_limit_exceeded", status="429 Too Many Requests"),
    "inside a 200": body({"error": {"message": "x", "type": "insufficient_quota", "code": "insufficient_quota"}}),
    "the first event": stream([data_event({"error": {"message": "x", "code": "billing_not_active"}})]),
}


@pytest.mark.parametrize("dead", DEAD)
@pytest.mark.parametrize("letter", ["a", "b"])
def test_of_two_keys_one_dead_every_request_is_answered_and_the_dead_one_rests(place, dead, letter):
    place.refuse(letter, DEAD[dead])
    answers = [place.ask() for _ in range(REQUESTS)]
    assert [answer.status for answer in answers] == [200] * REQUESTS
    used = place.used()
    assert len(used) < REQUESTS + 4
    assert used.count(f"x{letter}") < 4  # it rested, and was tried again at most a few times
    records = [place.running.settled(answer.rid) for answer in answers]
    assert [record["outcome"] for record in records] == ["completed"] * REQUESTS
    tried = sum(line["attempts"] for line in eventually(lambda: place.events("request"), lambda lines: len(lines) == 8))
    assert tried == len(used)


def test_a_key_that_rests_is_used_again_when_its_time_is_over(place):
    place.refuse("a", error("Rate limit", status="429 Too Many Requests", retry_after="1"))
    assert {place.ask().status for _ in range(4)} == {200}
    place.answers.clear()
    place.used()
    eventually(lambda: place.ask().status == 200 and "xa" in place.used(), bool)


def test_keys_of_an_account_without_credit_rest_together(triple):
    for letter, organization in zip("abc", ("org-1", "org-2", "org-1"), strict=True):
        triple.refuse(letter, completion(openai_organization=organization))
    assert {triple.ask().status for _ in range(3)} == {200}
    triple.used()
    for letter in "ac":
        triple.refuse(letter, error("x", "insufficient_quota", status="429 Too Many Requests"))
    assert {triple.ask().status for _ in range(REQUESTS)} == {200}
    used = triple.used()
    assert used.count("xa") + used.count("xc") == 1  # the other one was not even tried


def test_if_every_key_is_limited_the_provider_says_so(place):
    limited = error("Rate limit reached in organization org-0123", status="429 Too Many Requests", retry_after="500")
    for letter in "ab":
        place.refuse(letter, limited)
    for count in (2, 1, 1):  # keys that are tried; the one that is due first is asked again
        answer = place.ask()
        assert (answer.status, answer.headers["retry-after"]) == (429, "500")
        assert answer.json()["error"]["message"] == "Rate limit reached in organization [redacted]"
        assert answer.headers["x-error-origin"] == "provider"
        assert len(place.used()) == count
    assert place.events() == []
    place.answers.clear()
    assert place.ask().status == 200


@pytest.mark.parametrize("dead", ["a", "b"])
def test_a_limited_key_beside_a_dead_one_is_told_as_a_limit(place, dead):
    limited = "b" if dead == "a" else "a"
    place.refuse(dead, DEAD["401"])
    place.refuse(limited, DEAD["429"])
    assert [place.ask().status for _ in range(4)] == [429] * 4


def test_a_repaired_account_is_used_at_once(place):
    for letter in "ab":
        place.refuse(letter, DEAD["402"])
    answers = [place.ask() for _ in range(3)]
    assert {(answer.status, answer.code) for answer in answers} == {(503, "provider_unavailable")}
    assert {place.running.settled(answer.rid)["status"] for answer in answers} == {"voided"}
    place.answers.clear()
    assert place.ask().status == 200


# -- targets, the log and the metrics ----------------------------------------------------------


@pytest.mark.parametrize("said", [LOW, "This organization has been disabled."])
def test_the_next_target_answers_and_the_first_is_left_alone_for_a_while(place, said):
    for letter in "ab":
        place.refuse(letter, error(said, status="400 Bad Request"))
    first = place.ask("both")
    assert (first.status, first.headers["x-provider"]) == (200, f"p{place.number}y")
    assert place.used() == ["xa", "xb", "ya"]
    assert place.ask("both").status == 200
    assert place.used() == ["ya"]
    assert place.running.settled(first.rid)["provider"] == f"p{place.number}y"
    assert len(place.running.gateway.usage()) == len({record["rid"] for record in place.running.gateway.usage()})


def test_the_operator_hears_of_it_once_and_the_metric_counts(place):
    for letter in "ab":
        place.refuse(letter, DEAD["401"])
    for _ in range(5):
        assert place.ask().status == 503
    name = f"p{place.number}x"
    lines = eventually(place.events, lambda lines: len(lines) == 2)
    assert [(line["provider"], line["fault"], line["status"], line["key"]) for line in lines] == [
        (name, "key", 401, place.position(letter) + 1) for letter in "ab"
    ]
    faults = place.metric("codegrex_provider_account_faults_total", provider=name, fault="key")
    assert faults == len(place.used()) > 2
    eventually(lambda: place.metric("codegrex_provider_keys_resting", provider=name), lambda resting: resting == 2)


# -- what is the caller's ----------------------------------------------------------------------

SAFETY = {
    "code": "permission-denied",
    "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
}


def test_a_403_about_the_content_is_the_callers_and_no_other_key_is_tried(place):
    for letter in "ab":
        place.refuse(letter, body(SAFETY, status="403 Forbidden"))
    for name in ("m", "both"):
        answer = place.ask(name)
        assert (answer.status, answer.json()) == (403, SAFETY)
        assert "retry-after" not in answer.headers
        assert len(place.used()) == 1
    assert place.events() == []


@pytest.mark.parametrize("status", ["400 Bad Request", "422 Unprocessable Entity", "404 Not Found"])
def test_a_sentence_that_the_provider_quotes_is_no_account_fault(place, status):
    """A caller writes what providers say of accounts, and gets it back in an error about its own request."""
    quoted = error(f"Invalid value: '{LOW}'. Supported values are: 'a'.", "invalid_value", status=status)
    for letter in "ab":
        place.refuse(letter, quoted)
    for _ in range(4):
        answer = place.ask(text=LOW)
        assert (answer.status, answer.json()["error"]["code"]) == (int(status[:3]), "invalid_value")
    assert place.used() == ["xa"] * 4  # no key rests
    assert place.events() == []


def test_an_error_that_is_nothing_but_the_callers_own_words_stays_its_own(place):
    sentence = "Your credit balance is too low"
    for letter in "ab":
        place.refuse(letter, error(f"{sentence} is not of type 'object'", status="400 Bad Request"))
    for _ in range(3):
        answer = place.ask(text=f"What does it mean? {sentence}")
        assert (answer.status, answer.headers["x-error-origin"]) == (400, "provider")
    assert place.events() == []
    place.answers.clear()
    place.used()
    assert [place.ask().status for _ in range(4)] == [200] * 4
    assert place.used() == ["xa"] * 4


def test_a_real_fault_is_failed_over_also_for_a_prompt_that_quotes_it(place):
    for letter in "ab":
        place.refuse(letter, error(LOW, status="400 Bad Request"))
    assert place.ask("both", text=f"What does it mean? {LOW}").headers["x-provider"] == f"p{place.number}y"


@pytest.mark.parametrize(
    "answer",
    [
        error("Not allowed.", status="403 Forbidden"),
        error(LOW, status="400 Bad Request"),
        body(
            {"error": {"code": 402, "message": "This request requires more credits, or fewer max_tokens."}},
            status="402 x",
        ),
        error("Request too large for gpt-x on tokens per min (TPM)", status="429 Too Many Requests"),
    ],
    ids=["403 that says nothing", "a sentence", "too large for the balance", "too large for the rate"],
)
def test_what_may_be_one_callers_doing_rests_no_key_as_long_as_no_key_takes_the_request(place, answer):
    for letter in "ab":
        place.refuse(letter, answer)
    for _ in range(3):
        assert place.ask().status in {429, 503}
        assert len(place.used()) == 2
    place.answers.clear()
    assert [place.ask().status for _ in range(4)] == [200] * 4
    assert place.used() == ["xa"] * 4


# -- what names the operator's account ---------------------------------------------------------


@pytest.mark.parametrize("status", ["400 Bad Request", "404 Not Found", "429 Too Many Requests", "500 x"])
def test_identifiers_are_removed_from_an_error_and_nothing_else_is(place, status):
    said = (
        f"In organization org-AbCdEf0123456789AbCd, project `proj_x9`, key key-{place.number}-a: see https://x?key=abc1"
    )
    for letter in "ab":
        place.refuse(letter, error(said, "some_code", status=status))
    answer = place.ask()
    assert answer.status == int(status[:3])
    assert answer.json()["error"]["code"] == "some_code"
    for secret in (b"org-AbC", b"proj_x9", f"key-{place.number}-a".encode(), b"abc1"):
        assert secret not in answer.body
    assert answer.body.count(b"[redacted]") >= 4


@pytest.mark.parametrize("coding", ["gzip", "br"])
def test_an_error_in_a_coding_is_read_or_replaced(place, coding):
    plain = json.dumps({"error": {"message": "in organization org-0123", "code": "x"}}).encode()
    place.refuse("a", body(gzip.compress(plain), status="400 Bad Request", content_encoding=coding))
    answer = place.ask()
    assert (answer.status, "content-encoding" in answer.headers) == (400, False)
    expected = "in organization [redacted]" if coding == "gzip" else "too long or unreadable"
    assert expected in answer.json()["error"]["message"]


@pytest.mark.parametrize("size", [70_000, 400_000])
def test_an_error_that_is_too_long_is_replaced_and_keeps_its_status(place, size):
    place.refuse("a", error("x" * size + " in organization org-0123", status="422 Unprocessable Entity"))
    answer = place.ask()
    assert (answer.status, answer.headers["x-error-origin"]) == (422, "provider")
    assert "too long" in answer.json()["error"]["message"]
    assert b"org-0123" not in answer.body
    assert place.running.settled(answer.rid)["status"] == "voided"
