"""Every recorded exchange of a served operation, replayed through the gateway as a real process.

Where the recorded request is refused by design, its refusal is checked and the answer is replayed to
the least request of the same operation, so that every recorded answer passes the gateway once.
"""

from __future__ import annotations

import json
from collections import Counter
from typing import Any

import pytest

from metering.usage import COUNTS
from providers.dialect import Operation
from tests.corpus.recorded_calls import recorded_calls
from tests.corpus.recordings import CORPUS, NO_CORPUS, UNBILLED, Ask, Recording
from tests.corpus.replay import Replayed
from tests.corpus.test_requests import expected_refusals, uncounted
from tests.corpus.test_usage import FAILED, UNBEGUN, scanned, table

pytestmark = [
    pytest.mark.skipif(not CORPUS.exists(), reason=NO_CORPUS),
    pytest.mark.timeout(300),
]

# A good status without an answer: errors before any output, streams that were put together by hand and begin with
# nothing, and responses that were queued to run in the background, which is not served.
NO_ANSWER = UNBEGUN | {"a28619040900afa0", "c893ab16c39844f7"}

# The errors that concern the gateway's key, which the caller must not take for its own. The design
# names 402 and insufficient_quota too: nobody has recorded one as a status.
REPLACED = {"401", "403", "API_KEY_INVALID", "location", "key"}

# All that is refused of what was recorded: the code and the member at fault.
REFUSALS = {
    ("invalid_request", "messages"),  # of a form that the provider refused as well
    ("privacy_unsupported", "background"),
    ("privacy_unsupported", "cachedContent"),
    ("privacy_unsupported", "container"),
    ("privacy_unsupported", "conversation"),
    ("privacy_unsupported", "fileData"),
    ("privacy_unsupported", "input"),
    ("privacy_unsupported", "messages"),
    ("privacy_unsupported", "previous_response_id"),
    ("privacy_unsupported", "prompt"),
    ("privacy_unsupported", "tools"),
    ("unsupported_feature", "models"),
}

# Micro-credits a unit, of the replay's prices.
RATES = dict.fromkeys(COUNTS, 100) | {
    "cache_read": 10,
    **dict.fromkeys(("cache_write_5m", "cache_write_1h", "cache_write_other"), 125),
    **dict.fromkeys(("out_visible", "out_reasoning", "audio_out", "image_out"), 400),
    "searches": 1_000_000,
    "fetches": 100_000,
    "code_runs": 100_000,
}

# About the provider's account and not about the request, or a hop's own.
STOPPED = ("x-ratelimit-", "anthropic-ratelimit-", "openai-organization", "openai-project", "anthropic-organization-id")
HOP = ("set-cookie", "cf-ray", "alt-svc", "via", "nel", "report-to")


def replaced(recording: Recording) -> bool:
    return bool(recording.operators)


def billed(recording: Recording) -> bool:
    return recording.good and recording.operation not in UNBILLED and recording.id not in NO_ANSWER


def test_the_caller_receives_exactly_the_recorded_answer(replayed: Replayed) -> None:
    hidden = Counter[Operation]()
    for recording, ask, got in replayed.all():
        if replaced(recording):
            continue
        if recording.id in NO_ANSWER:
            assert got.status >= 400, recording.id
            assert json.loads(got.body)["error"], recording.id
            continue
        assert (recording.id, got.status, got.cut) == (recording.id, recording.status, False)
        expected = recording.expected_body(ask)
        assert got.body == expected, recording.id
        assert got.headers["content-type"] == recording.headers["content-type"], recording.id
        assert got.headers.get("x-error-origin") == (None if recording.good else "provider"), recording.id
        hidden[recording.operation] += expected != recording.body and recording.good
    assert hidden[Operation.OPENAI_CHAT] > 50
    assert len(replayed.got) > 4_700


def test_the_provider_is_asked_once_for_each_answer_and_cut_in_every_way(replayed: Replayed) -> None:
    # Once: so no refused request has reached it either.
    assert replayed.answered == dict.fromkeys(replayed.recordings, 1)
    assert set(replayed.framings) == {"chunked", "length", "close"}
    assert min(replayed.framings.values()) > 1_000


def test_errors_about_the_gateways_own_key_are_replaced(replayed: Replayed) -> None:
    reasons = Counter[str]()
    for recording, _, got in replayed.all():
        if not replaced(recording):
            continue
        reasons[recording.operators] += 1
        assert (recording.id, got.status) == (recording.id, 503)
        assert got.headers["x-error-origin"] == "gateway"
        assert int(got.headers["retry-after"]) > 0
        assert code_of(got.body)[0] == "provider_unavailable"
        assert got.rid not in replayed.records
    assert set(reasons) == REPLACED
    assert sum(reasons.values()) < 50


def test_only_what_the_design_refuses_is_refused(replayed: Replayed) -> None:
    reasons = Counter[tuple[str, str]]()
    for name, got in replayed.refusals.items():
        recording = replayed.recordings[name]
        code, param = code_of(got.body)
        reasons[code, param] += 1
        asked = recording.record["request_body"]
        if code == "invalid_request":
            assert not recording.good, recording.id
        elif param != "anthropic-beta" and not (param == "tools" and uncounted(recording.operation, asked)):
            assert param in expected_refusals(recording.operation, asked), recording.id
        assert got.rid not in replayed.records
    for recording in replayed.recordings.values():
        body = recording.record["request_body"]
        if isinstance(body, dict) and recording.name not in replayed.refusals:
            assert not expected_refusals(recording.operation, body), recording.id
            assert not uncounted(recording.operation, body), recording.id
    assert set(reasons) == REFUSALS
    assert reasons.total() < 80


def test_the_ledger_has_exactly_the_recorded_usage(replayed: Replayed) -> None:
    bases = Counter[str]()
    doubts = elsewhere = 0
    for recording, ask, got in replayed.all():
        if not billed(recording):
            assert got.rid not in replayed.records, recording.id
            continue
        record = replayed.records[got.rid]
        counts = {name: record[name] for name in COUNTS}
        assert record["provider"] == recording.record["provider"]
        assert record["model"] == recording.name
        assert record["charge"] == record["cost"] == sum(RATES[name] * count for name, count in counts.items())
        failed = recording.id in FAILED
        assert (recording.id, record["outcome"]) == (recording.id, "upstream_error" if failed else "completed")
        if failed:
            assert record["basis"] == "partial"
            continue
        bases[record["basis"]] += 1
        calls = recorded_calls(recording)
        report = scanned(recording.record, [recording.body])[0].report()
        if stated(recording) or any(calls.values()):
            tokens = table(recording.record) if stated(recording) else {}
            expected = dict.fromkeys(COUNTS, 0) | tokens | calls
            one_side = report.usage is not None and report.usage.in_uncached is None
            if one_side:  # the other is estimated
                assert 0 < record["in_uncached"] <= len(ask.body)
                del expected["in_uncached"]
            wrong = {name: (counts[name], count) for name, count in expected.items() if counts[name] != count}
            assert not wrong, (recording.id, wrong)
            doubtful = report.suspect or one_side
            assert record["basis"] == ("partial" if doubtful else "reported"), recording.id
            doubts += doubtful
        elif report.usage is not None and report.usage.in_uncached and report.usage.out_visible:
            elsewhere += 1  # in a place of the host's own, such as x_groq.usage
            assert (record["basis"], record["in_uncached"]) == ("reported", report.usage.in_uncached), recording.id
        else:
            assert_estimated(recording, ask, record)
    assert bases["reported"] > 4_400
    assert bases["partial"] < 150
    assert 0 < doubts < 50
    assert 0 < elsewhere < 10


def assert_estimated(recording: Recording, ask: Ask, record: dict[str, Any]) -> None:
    """The answer states no counts: the input is what is expected of such a body."""
    assert record["basis"] == "partial", recording.id
    assert 0 < record["in_uncached"] <= len(ask.body), recording.id
    assert not any(record[name] for name in COUNTS if name not in ("in_uncached", "out_visible")), recording.id


def stated(recording: Recording) -> bool:
    """The recorded usage has a count, be it zero."""
    return any(type(value) is int for value in (recording.record["usage"] or {}).values())


def test_nothing_stays_held_and_the_charges_are_what_was_spent(replayed: Replayed) -> None:
    assert replayed.exit_code == 0
    assert replayed.account["held"] == 0
    assert replayed.account["spent"] == sum(record["charge"] for record in replayed.records.values()) > 0
    assert len(replayed.records) == sum(billed(recording) for recording in replayed.recordings.values())


def test_headers_about_the_providers_account_stop(replayed: Replayed) -> None:
    stopped = 0
    for recording, _, got in replayed.all():
        assert not [name for name in got.headers if name.startswith(STOPPED) or name in HOP], recording.id
        stopped += any(name.startswith(STOPPED) for name in recording.headers)
    assert stopped > 1_000


def code_of(body: bytes) -> tuple[str, str]:
    """The machine code and the member at fault, wherever the dialect has them."""
    error = json.loads(body)["error"]
    if "status" in error:
        details = {detail["@type"].rpartition(".")[2]: detail for detail in error["details"]}
        fields = details.get("BadRequest", {}).get("fieldViolations", [{}])
        return details["ErrorInfo"]["reason"].lower(), fields[0].get("field", "")
    if isinstance(error.get("details"), dict):
        return error["details"]["error_code"], error["details"].get("param") or ""
    return error["code"], error.get("param") or ""
