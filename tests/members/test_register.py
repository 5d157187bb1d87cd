"""What the register decides arrives at the provider, for every operation."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.dialect import Family, Operation, Refusal, Target
from providers.document.splice import Edits
from providers.document.strings import snake
from providers.members import anthropic, openai
from providers.members.decision import Decision
from providers.members.register import REGISTER, SPELLED, told
from providers.steps import at_once
from providers.wires import WIRES

MODEL = "m"
SENT = Target(MODEL, pseudonym="p-1")


def path_model(operation):
    return MODEL if operation.family is Family.GOOGLE else None


def arrives(operation, members, target=SENT):
    """What a provider gets of a request with these members."""
    wire = WIRES[operation]
    body = json.dumps({"model": MODEL, **members}).encode()
    head = at_once(wire.read(body, path_model(operation)))
    return json.loads(at_once(wire.splice(body, head, target))), told(
        head.found, extended_cache=target.extended_cache, strip_unknown=target.strip_unknown
    )


def members_with(decision):
    return [
        pytest.param(operation, name, member, id=f"{operation}-{name}")
        for operation, table in REGISTER.items()
        for name, member in table.items()
        if member.decision is decision
    ]


@pytest.mark.parametrize(("operation", "name", "member"), members_with(Decision.REFUSE))
@pytest.mark.parametrize("value", ["text", {"a": 1}, ["a"], True, 1])
def test_what_is_refused_is_refused_in_every_shape_with_its_sentence(operation, name, member, value):
    with pytest.raises(Refusal) as refused:
        arrives(operation, {name: value})
    assert (refused.value.message, refused.value.param) == (member.why, name)


@pytest.mark.parametrize(("operation", "name", "member"), members_with(Decision.STRIP))
@pytest.mark.parametrize("value", ["canary", {"canary": 1}, ["canary"], 7, None])
def test_what_is_stripped_does_not_arrive_and_is_told(operation, name, member, value):
    sent, removed = arrives(operation, {name: value})
    assert name not in sent
    assert name in removed.split(", ")


@pytest.mark.parametrize(("operation", "name", "member"), members_with(Decision.PSEUDONYM))
def test_what_tells_users_apart_becomes_the_pseudonym(operation, name, member):
    assert arrives(operation, {name: "bob"})[0][name] == "p-1"
    assert name not in arrives(operation, {name: "bob"}, Target(MODEL))[0]


KEYED = Target(MODEL, pseudonym="p-1", cache_key=lambda text: f"keyed {len(text)}")


@pytest.mark.parametrize(("operation", "name", "member"), members_with(Decision.CACHE_KEY))
def test_a_cache_key_becomes_what_stands_for_it(operation, name, member):
    assert arrives(operation, {name: "thread"}, KEYED)[0][name] == "keyed 6"
    assert arrives(operation, {name: "\x00\u1234\U0001f600"}, KEYED)[0][name] == "keyed 3"
    for no_key in (7, {"thread": 1}, ["thread"], True, "t" * 5_000):
        assert arrives(operation, {name: no_key}, KEYED)[0][name] == "p-1"
    assert arrives(operation, {name: None}, KEYED)[0][name] is None
    assert arrives(operation, {name: "thread"})[0][name] == "p-1"
    assert name not in arrives(operation, {name: "thread"}, Target(MODEL, cache_key=len))[0]


def test_cache_keys_stand_at_the_top_level():
    for table in REGISTER.values():
        for member in table.values():
            for inner in (member.inside or {}).values():
                assert inner.decision is not Decision.CACHE_KEY


@pytest.mark.parametrize("operation", Operation)
def test_unknown_strings_and_objects_fall_to_the_policy_and_others_pass(operation):
    given = {"brand_new": "x", "brandNew": {"y": 1}, "flag": True, "count": 3, "list": ["z"], "nothing": None}
    sent, removed = arrives(operation, given)
    assert sent.keys() & given.keys() == {"flag", "count", "list", "nothing"}
    assert removed == "2 unknown"
    sent, removed = arrives(operation, given, Target(MODEL, strip_unknown=False))
    assert {name: sent[name] for name in given} == given
    assert removed == ""


@pytest.mark.parametrize(
    ("operation", "members", "left"),
    [
        (Operation.OPENAI_CHAT, {"prompt_cache_retention": "24h"}, {}),
        (Operation.OPENAI_CHAT, {"prompt_cache_retention": "in_memory"}, {"prompt_cache_retention": "in_memory"}),
        (
            Operation.OPENAI_RESPONSES,
            {"prompt_cache_options": {"mode": "explicit", "ttl": "12h", "comparison_response_id": "resp_1"}},
            {"prompt_cache_options": {"mode": "explicit"}},
        ),
        (Operation.OPENAI_RESPONSES, {"background_options": {"continuation_id": "c"}}, {}),
        (Operation.OPENAI_CHAT, {"moderation": {"model": "omni-moderation-latest"}}, None),
        (
            Operation.ANTHROPIC_MESSAGES,
            {"metadata": {"user_id": "bob", "email": "bob@example.com", "n": 1, "tags": ["a"]}},
            {"metadata": {"user_id": "p-1"}},
        ),
        (Operation.ANTHROPIC_MESSAGES, {"diagnostics": {"previous_message_id": "msg_1"}}, {"diagnostics": {}}),
        (
            Operation.ANTHROPIC_MESSAGES,
            {"thinking": {"type": "enabled", "note": "x"}},
            {"thinking": {"type": "enabled"}},
        ),
        (
            Operation.GEMINI_GENERATE,
            {"generationConfig": {"temperature": 1, "thinkingConfig": {"thinkingBudget": 9, "why": "x"}, "new": {}}},
            {"generationConfig": {"temperature": 1, "thinkingConfig": {"thinkingBudget": 9}}},
        ),
        (
            Operation.GEMINI_GENERATE,
            {"generation_config": {"top_k": 1, "labels": {"a": "b"}}},
            {"generation_config": {"top_k": 1}},
        ),
    ],
)
def test_objects_are_looked_into(operation, members, left):
    sent, _ = arrives(operation, members)
    assert {name: value for name, value in sent.items() if name not in {"model", "store"}} == (
        members if left is None else left
    )


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        (Operation.OPENAI_CHAT, {"moderation": {"model": "gpt-5-moderator"}}),
        (Operation.GEMINI_GENERATE, {"generationConfig": {"routingConfig": {"manualMode": {"modelName": "x"}}}}),
        (Operation.GEMINI_GENERATE, {"generation_config": {"model_selection_config": {"a": "b"}}}),
        (Operation.GEMINI_COUNT_TOKENS, {"generateContentRequest": {"cachedContent": "cachedContents/1"}}),
    ],
)
def test_what_stands_deeper_is_refused_as_well(operation, members):
    with pytest.raises(Refusal):
        arrives(operation, members)


def test_long_caching_passes_where_policy_lets_it():
    allowed = Target(MODEL, extended_cache=True)
    given = {"prompt_cache_retention": "24h", "prompt_cache_options": {"ttl": "12h"}}
    sent, removed = arrives(Operation.OPENAI_RESPONSES, given, allowed)
    assert {name: sent[name] for name in given} == given
    assert removed == ""


def test_an_object_that_names_a_member_twice_is_refused():
    wire = WIRES[Operation.ANTHROPIC_MESSAGES]
    with pytest.raises(Refusal):
        at_once(wire.read(b'{"model": "m", "metadata": {"user_id": "a", "user_id": "b"}}', None))


PART = st.fixed_dictionaries(
    {"text": st.text(max_size=5)},
    optional={"partMetadata": st.just({"file": "canary"}), "part_metadata": st.just("canary")},
)
CONTENTS = st.lists(
    st.fixed_dictionaries(
        {
            "parts": st.lists(
                PART
                | st.fixed_dictionaries(
                    {"functionResponse": st.fixed_dictionaries({"parts": st.lists(PART, max_size=2)})}
                ),
                max_size=3,
            )
        }
    ),
    max_size=3,
)


def without(value):
    if isinstance(value, dict):
        return {name: without(inner) for name, inner in value.items() if name not in {"partMetadata", "part_metadata"}}
    return [without(inner) for inner in value] if isinstance(value, list) else value


@given(contents=CONTENTS, system=PART, escaped=st.booleans())
def test_metadata_of_parts_arrives_nowhere(contents, system, escaped):
    members = {"contents": contents, "systemInstruction": {"parts": [system]}}
    body = json.dumps(members).encode()
    if escaped:
        body = body.replace(b'"partMetadata"', b'"p\\u0061rtMetadata"')
    wire = WIRES[Operation.GEMINI_STREAM]
    head = at_once(wire.read(body, MODEL))
    sent = json.loads(at_once(wire.splice(body, head, Target(MODEL, store=False))))
    assert sent == without(members)


def test_arguments_of_calls_may_be_called_as_they_like():
    members = {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"partMetadata": 1}}}]}]}
    assert arrives(Operation.GEMINI_GENERATE, members)[0]["contents"] == members["contents"]


@pytest.mark.parametrize(
    ("operation", "name"), [(Operation.OPENAI_CHAT, "messages"), (Operation.OPENAI_RESPONSES, "input")]
)
def test_breakpoints_keep_no_prompt_for_hours(operation, name):
    def request(mark):
        return {name: [{"role": "user", "content": [{"type": "text", "text": "hi", "prompt_cache_breakpoint": mark}]}]}

    assert arrives(operation, request({"ttl": "12h"}))[0][name] == request({})[name]
    for usual in ({"ttl": "30m"}, {}):
        assert arrives(operation, request(usual))[0][name] == request(usual)[name]
    kept = arrives(operation, request({"ttl": "12h"}), Target(MODEL, extended_cache=True))[0]
    assert kept[name] == request({"ttl": "12h"})[name]


def test_gemini_members_have_both_spellings():
    for operation, table in REGISTER.items():
        if operation.family is Family.GOOGLE:
            assert all(table[snake(name)] == member for name, member in table.items())


def test_reasons_are_sentences_of_one_line_and_refusals_say_the_mend():
    tables = [*REGISTER.values(), openai.NESTED, anthropic.NESTED, anthropic.BETAS]
    for table in tables:
        for member in table.values():
            assert member.why
            assert "\n" not in member.why
            assert "|" not in member.why
    for operation, name, member in ((p.values) for p in members_with(Decision.REFUSE)):
        assert member.why.endswith("."), (operation, name)
        assert any(word in member.why for word in (":", "instead")), (operation, name)


def test_an_object_is_taken_apart_once_however_much_is_removed_from_it(monkeypatch):
    taken = []
    edit_object = Edits.edit_object
    monkeypatch.setattr(
        Edits, "edit_object", lambda self, name, change: taken.append(name) or edit_object(self, name, change)
    )
    given = {"metadata": {"user_id": "bob", **{f"name{number}": "x" for number in range(900)}}}
    sent, removed = arrives(Operation.ANTHROPIC_MESSAGES, given)
    assert sent["metadata"] == {"user_id": "p-1"}
    assert removed == "900 unknown"
    assert taken == ["metadata", "metadata"]


@pytest.mark.parametrize(
    ("operation", "members"),
    [
        (Operation.OPENAI_CHAT, {"Store": True}),
        (Operation.OPENAI_CHAT, {"Model": "other"}),
        (Operation.OPENAI_CHAT, {"\u017ftream": True}),
        (Operation.OPENAI_CHAT, {"USER": 1}),
        (Operation.OPENAI_RESPONSES, {"reasoning": {"Effort": "high"}}),
        (Operation.ANTHROPIC_MESSAGES, {"metadata": {"User_Id": "bob"}}),
        (Operation.ANTHROPIC_MESSAGES, {"\uff54hinking": {}}),
        (Operation.GEMINI_GENERATE, {"CachedContent": None}),
        (Operation.GEMINI_GENERATE, {"generationConfig": {"TOPK": 1}}),
    ],
)
def test_a_name_that_differs_in_case_or_kind_of_letter_is_refused(operation, members):
    with pytest.raises(Refusal) as refused:
        arrives(operation, members)
    assert refused.value.message == SPELLED


@given(data=st.data())
def test_every_known_name_is_refused_in_every_other_case(data):
    operation = data.draw(st.sampled_from(list(Operation)))
    name = data.draw(st.sampled_from(sorted(REGISTER[operation])))
    other = "".join(letter.upper() if data.draw(st.booleans()) else letter.lower() for letter in name)
    if other in REGISTER[operation]:
        return
    with pytest.raises(Refusal):
        arrives(operation, {other: data.draw(st.sampled_from(["x", 1, True, None, [], {}]))})
