from __future__ import annotations

import json

import pytest

from metering.usage import ServiceTier
from providers.dialect import Refusal, Target
from providers.gemini.request import BATCH_EMBED, COUNT_TOKENS, EMBED, GENERATE, STREAM
from providers.steps import at_once
from tests.refused_requests import FILES_URI as KEPT
from tests.refused_requests import GEMINI_BATCH_EMBED, GEMINI_EMBED, GEMINI_GENERATE

ALL = (GENERATE, STREAM, COUNT_TOKENS, EMBED, BATCH_EMBED)


def body(**members):
    return json.dumps({"contents": [{"parts": [{"text": "hi"}]}]} | members).encode()


def refusal(raw, wire=GENERATE):
    with pytest.raises(Refusal) as refused:
        at_once(wire.read(raw, "gemini"))
    return refused.value


def spliced(raw, wire=GENERATE, **target):
    return at_once(wire.splice(raw, at_once(wire.read(raw, "gemini")), Target("real", **target)))


def test_the_model_and_the_streaming_come_from_the_path():
    head = at_once(GENERATE.read(body(model="models/other"), "gemini-x"))

    assert (head.model, head.stream) == ("gemini-x", False)
    assert at_once(STREAM.read(body(), "models/gemini-x")).model == "gemini-x"
    assert at_once(STREAM.read(body(), "gemini-x")).stream
    assert [wire.path("g/x") for wire in ALL] == [
        "/v1beta/models/g%2Fx:generateContent",
        "/v1beta/models/g%2Fx:streamGenerateContent",
        "/v1beta/models/g%2Fx:countTokens",
        "/v1beta/models/g%2Fx:embedContent",
        "/v1beta/models/g%2Fx:batchEmbedContents",
    ]
    assert [wire.billed for wire in ALL] == [True, True, False, True, True]


@pytest.mark.parametrize("config", ["generationConfig", "generation_config"])
@pytest.mark.parametrize("limit", ["maxOutputTokens", "max_output_tokens"])
@pytest.mark.parametrize("count", ["candidateCount", "candidate_count"])
def test_limits_are_read_in_both_spellings(config, limit, count):
    head = at_once(GENERATE.read(body(**{config: {limit: "50", count: 2}}), "g"))

    assert (head.output_limit, head.choices) == (50, 2)


def test_no_limit_is_unknown_and_nothing_is_generated_elsewhere():
    limits = [at_once(wire.read(body(generationConfig={"maxOutputTokens": 9}), "g")).output_limit for wire in ALL]

    assert limits == [9, 9, 0, 0, 0]
    assert at_once(GENERATE.read(body(), "g")).output_limit is None


@pytest.mark.parametrize(
    "members",
    [
        {"generationConfig": {}, "generation_config": {}},
        {"cachedContent": "", "cached_content": "cachedContents/x"},
        {"generationConfig": {"maxOutputTokens": 1, "max_output_tokens": 9}},
        {"serviceTier": "flex", "service_tier": "standard"},
    ],
)
def test_a_member_in_both_spellings_is_refused(members):
    assert refusal(body(**members)).code == "invalid_request"


def test_a_nested_duplicate_is_refused():
    assert refusal(b'{"generationConfig":{"maxOutputTokens":1,"maxOutputTokens":9}}').code == "invalid_request"


@pytest.mark.parametrize(
    ("named", "tier"),
    [
        ("flex", ServiceTier.FLEX),
        ("PRIORITY", ServiceTier.PRIORITY),
        ("SERVICE_TIER_STANDARD", ServiceTier.STANDARD),
        ("unspecified", ServiceTier.STANDARD),
        ("new", ServiceTier.OTHER),
        (None, ServiceTier.STANDARD),
    ],
)
def test_the_service_tier_is_a_closed_word(named, tier):
    assert at_once(GENERATE.read(body(service_tier=named), "g")).variant.tier is tier


@pytest.mark.parametrize(
    "members", [{"cachedContent": "cachedContents/abc"}, *GEMINI_GENERATE, *GEMINI_EMBED, *GEMINI_BATCH_EMBED]
)
def test_what_lives_at_the_provider_is_refused_with_the_mend(members):
    refused = refusal(body(**members))

    assert refused.code == "privacy_unsupported"
    assert ":" in refused.message


@pytest.mark.parametrize(
    "members",
    [
        {"cachedContent": ""},
        {"contents": [{"parts": [{"fileData": {"fileUri": "https://www.youtube.com/watch?v=files/"}}]}]},
        {"contents": [{"parts": [{"fileData": {"fileUri": "gs://bucket/files/abc"}}]}]},
        {"contents": [{"parts": [{"text": KEPT}]}]},
        {"contents": [{"parts": [{"functionCall": {"args": {"fileData": {"fileUri": KEPT}}}}]}]},
        {"contents": [{"parts": [{"functionResponse": {"response": {"parts": [{"fileData": {"fileUri": KEPT}}]}}}]}]},
        {"contents": [{"parts": [{"inlineData": {"mimeType": "image/png", "data": "x"}}]}]},
    ],
)
def test_what_only_looks_like_it_passes(members):
    at_once(GENERATE.read(body(**members), "g"))


@pytest.mark.parametrize(
    "members",
    [
        {"contents": "odd"},
        {"contents": [{"parts": [{"fileData": {"fileUri": KEPT}}, None]}]},
        {"contents": [{"parts": ["odd"]}]},
        {"contents": [{"parts": "odd"}]},
        {"contents": [{"parts": [{"fileData": "odd"}]}]},
        {"contents": [{"parts": [{"fileData": {"fileUri": ["odd"]}}]}]},
        {"systemInstruction": 5},
        {"tools": [None]},
        {"requests": ["odd"]},
    ],
)
def test_what_is_of_another_form_than_the_api_s_is_refused(members):
    assert refusal(body(**members)).code == "invalid_request"


def test_storing_is_forced_off_where_something_is_generated():
    raw = b'{"contents":[]}'

    assert spliced(raw) == spliced(raw, STREAM) == b'{"store":false,"contents":[]}'
    assert spliced(b'{"contents":[],"store":true}') == b'{"contents":[],"store":false}'
    assert spliced(b'{"contents":[],"store":true}', store=False) == b'{"contents":[]}'
    for wire in (COUNT_TOKENS, EMBED, BATCH_EMBED):
        assert spliced(raw, wire) is raw


def test_labels_go_out():
    raw = b'{"labels": {"user": "bob"}, "contents": [ ] ,"store":false}'

    assert spliced(raw) == b'{ "contents": [ ] ,"store":false}'


def test_the_alias_is_replaced_where_the_body_repeats_the_model():
    raw = b'{"model":"models/alias","contents":[],"store":false}'

    assert spliced(raw, alias=True) == b'{"model":"models/real","contents":[],"store":false}'
    assert spliced(raw) is raw


def test_the_alias_is_replaced_in_every_request_of_a_batch():
    raw = b'{"requests": [{"model":"models/alias", "content":{}}, {"content": {} }]}'

    assert spliced(raw, BATCH_EMBED, alias=True) == (
        b'{"requests": [{"model":"models/real", "content":{}},{"model":"models/real","content": {} }]}'
    )
    assert spliced(raw, BATCH_EMBED) is raw


def test_a_request_to_count_is_edited_like_a_request():
    raw = b'{"generateContentRequest":{"model":"models/alias","labels":{"a":"b"},"contents":[]}}'

    assert spliced(raw, COUNT_TOKENS, alias=True) == (
        b'{"generateContentRequest":{"model":"models/real","contents":[]}}'
    )


def test_tools_are_named_in_both_spellings():
    raw = body(tools=[{"functionDeclarations": []}, {"googleSearch": {}, "url_context": {}}])

    assert at_once(GENERATE.read(raw, "g")).server_tools == {"gemini_google_search", "gemini_url_context"}
    nested = body(generateContentRequest={"tools": {"codeExecution": {}}})
    assert at_once(COUNT_TOKENS.read(nested, "g")).server_tools == {"gemini_code_execution"}


@pytest.mark.parametrize(
    ("wire", "members"),
    [
        (
            COUNT_TOKENS,
            {"generateContentRequest": {"parts": [{"partMetadata": {"a": 1}, "text": "x"}]}},
        ),
        (COUNT_TOKENS, {"generateContentRequest": {"partMetadata": {"a": 1}, "contents": []}}),
        (COUNT_TOKENS, {"generate_content_request": {"contents": [{"part_metadata": {"a": 1}}]}}),
        (BATCH_EMBED, {"generateContentRequest": [{"partMetadata": {"a": 1}}], "requests": []}),
        (STREAM, {"contents": [{"parts": [{"partMetadata": {"a": 1}}]}]}),
        (STREAM, {"parts": [{"partMetadata": {"a": 1}}], "contents": []}),
        (STREAM, {"partMetadata": {"a": 1}, "contents": []}),
    ],
)
def test_the_metadata_of_parts_is_removed_wherever_they_are(wire, members):
    raw = json.dumps(members).encode()

    sent = spliced(raw, wire)

    assert b"etadata" in raw
    assert b"etadata" not in sent
