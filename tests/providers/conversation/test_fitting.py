"""Reading and writing is the identity on the hub, in every dialect, for what the dialect can say."""

import json
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.conversation import fitting
from providers.conversation.conversation import (
    Conversation,
    Dialect,
    Effort,
    File,
    Image,
    Reasoning,
    RefusalText,
    Role,
    Sampling,
    Seal,
    Text,
    Tool,
    ToolResult,
    ToolUse,
    Turn,
    Use,
    combined,
)
from providers.conversation.dialects import Capabilities, read_request, write_request
from providers.conversation.features import FEATURES, Feature, Handling
from providers.dialect import Family, Refusal

fit = partial(fitting.fit, output_limit=8_192)
EVERY = frozenset(Family)
SCHEMA = b'{"type":"object","properties":{"a":{"type":"string"}},"required":["a"],"additionalProperties":false}'
ONE_TEXT = b'{"type":"object","properties":{"input":{"type":"string"}},"required":["input"]}'
TOOLS = (
    Tool("f", "Does f.", SCHEMA, strict=True),
    Tool("bare", ""),
    Tool("patch", "Patches.", ONE_TEXT, one_text=True, grammar=b'{"type":"text"}'),
    Tool("crm__find", "", SCHEMA, namespace="crm"),
)


def there_and_back(conversation, dialect):
    body = write_request(dialect, conversation, "m", Capabilities(0))
    return read_request(dialect, body, stream=conversation.stream)


def told(conversation):
    """All of it, so that a difference can be seen."""

    def plain(value):
        if isinstance(value, tuple):
            return [plain(one) for one in value]
        if hasattr(value, "__slots__") and not isinstance(value, str):
            return {name: plain(getattr(value, name)) for name in value.__slots__} | {"kind": type(value).__name__}
        return value

    return plain(conversation)


WORDS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs"]), min_size=1, max_size=9).map(lambda s: f"w{s}")
IDS = st.integers(0, 9).map("call_{}".format)
SEALS = st.builds(Seal, st.sampled_from(Family), st.text("abcXYZ09", min_size=4, max_size=8), st.just(""))
OPENAI_SEALS = st.builds(Seal, st.just(Family.OPENAI), st.text("abc", min_size=4, max_size=8), st.just("rs_1"))
REDACTED = st.builds(Seal, st.just(Family.ANTHROPIC), st.text("abc", min_size=4), st.just(""), st.just(True))
ARGUMENTS = st.dictionaries(st.text("abc", min_size=1), st.integers(-9, 9) | WORDS, max_size=2).map(
    lambda value: json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()
)
IMAGES = st.sampled_from([Image("image/png", "aGk="), Image("image/jpeg", "aGk=", detail="high")])
FILES = st.sampled_from([File("application/pdf", "aGk=", name="a.pdf"), File("application/pdf", "aGk=")])
ASKED = st.lists(st.builds(Text, WORDS) | IMAGES | FILES, min_size=1, max_size=3)
CALLS = st.builds(ToolUse, IDS, st.sampled_from(["f", "bare"]), ARGUMENTS) | st.builds(
    lambda identity, text: ToolUse(identity, "patch", json.dumps({"input": text}, separators=(",", ":")).encode()),
    IDS,
    st.text("ab\n", max_size=5),
)
THOUGHTS = (
    st.builds(Reasoning, WORDS, SEALS | OPENAI_SEALS)
    | st.builds(Reasoning, st.just(""), SEALS | OPENAI_SEALS)
    | st.builds(Reasoning, st.just(""), REDACTED)
)
RESULTS = st.builds(
    ToolResult,
    IDS,
    WORDS,
    st.lists(IMAGES, max_size=1).map(tuple),
    st.lists(FILES, max_size=1).map(tuple),
    st.booleans(),
)


@st.composite
def conversations(draw, probabilities=None):
    turns = [Turn(Role.USER, tuple(draw(ASKED)))]
    for _ in range(draw(st.integers(0, 2))):
        if draw(st.booleans()):
            turns.append(Turn(Role.SYSTEM, (Text(draw(WORDS)),)))
        calls = draw(st.lists(CALLS, max_size=2, unique_by=lambda call: call.id))
        said = draw(st.lists(THOUGHTS, max_size=2)) + draw(st.lists(st.builds(Text, WORDS), min_size=1, max_size=2))
        turns.append(Turn(Role.ASSISTANT, (*said, *calls)))
        results = [replace(draw(RESULTS), id=call.id) for call in calls]
        turns.append(Turn(Role.USER, (*results, *draw(ASKED))))
    use = draw(st.sampled_from([None, *Use]))
    return Conversation(
        turns=combined(turns),
        system=draw(st.just("") | WORDS),
        tools=draw(st.sampled_from([(), TOOLS[:2], TOOLS])),
        use=use,
        tool="f" if use is Use.REQUIRED and draw(st.booleans()) else "",
        parallel=draw(st.sampled_from([None, True, False])),
        sampling=Sampling(
            max_tokens=draw(st.none() | st.integers(1_000, 9_000)),
            temperature=draw(st.sampled_from([None, 0.5, 1.5])),
            top_p=draw(st.sampled_from([None, 0.9])),
            top_k=draw(st.sampled_from([None, 40])),
            seed=draw(st.sampled_from([None, 7])),
            presence_penalty=draw(st.sampled_from([None, 0.1])),
            probabilities=probabilities,
        ),
        json=draw(st.booleans()),
        schema=draw(st.sampled_from([b"", SCHEMA])),
        schema_name=draw(st.sampled_from(["", "form"])),
        schema_strict=draw(st.sampled_from([None, True, False])),
        reasoning=draw(st.booleans()),
        effort=draw(st.sampled_from([None, *Effort])),
        budget=draw(st.sampled_from([None, 1_500])),
        verbosity=draw(st.sampled_from(["", "low"])),
        cache=draw(st.booleans()),
        stream=draw(st.booleans()),
    )


PROBABLE = (Dialect.CHAT, Dialect.RESPONSES, Dialect.GEMINI)


@pytest.mark.parametrize("dialect", PROBABLE)
@pytest.mark.parametrize("wanted", [0, 5])
def test_probabilities_are_asked_for_where_an_api_has_them(dialect, wanted):
    asked = Conversation(turns=(Turn(Role.USER, (Text("hi"),)),), sampling=Sampling(probabilities=wanted))
    assert there_and_back(fit(asked, dialect)[0], dialect).sampling.probabilities == wanted
    with pytest.raises(Refusal):
        fit(asked, Dialect.MESSAGES)


@pytest.mark.parametrize("dialect", Dialect)
@settings(max_examples=40)
@given(conversations())
def test_what_was_fitted_is_read_as_it_was_written(dialect, conversation):
    fitted, dropped = fit(conversation, dialect, carried=EVERY)
    assert told(there_and_back(fitted, dialect)) == told(fitted)
    assert told(fit(fitted, dialect, carried=EVERY)[0]) == told(fitted)  # nothing is left to do
    assert all(FEATURES[feature][dialect].handling is not Handling.REFUSED for feature in dropped)


@settings(max_examples=20)
@given(conversations(), st.permutations(list(Dialect)))
def test_reasoning_comes_back_through_every_dialect(conversation, order):
    """Seals and texts of every provider survive a journey through the others' places."""

    def reasoning(held):
        return [part for turn in held.turns for part in turn.parts if isinstance(part, Reasoning)]

    there = conversation
    for dialect in order:
        there = there_and_back(fit(there, dialect, carried=EVERY)[0], dialect)
    assert told(tuple(reasoning(there))) == told(tuple(reasoning(conversation)))


@pytest.mark.parametrize("dialect", Dialect)
def test_a_provider_gets_no_reasoning_but_its_own(dialect):
    own = {Dialect.RESPONSES: "OPENAI", Dialect.MESSAGES: "ANTHROPIC", Dialect.GEMINI: "GOOGLE"}.get(dialect)
    thoughts = tuple(Reasoning("hm", Seal(family, family.name)) for family in Family)
    asked = Conversation(turns=(Turn(Role.ASSISTANT, (*thoughts, Reasoning("unsealed"), Text("a"))),))
    fitted, dropped = fit(asked, dialect)
    kept = [part.seal.data for part in fitted.turns[0].parts if isinstance(part, Reasoning)]
    assert kept == ([own] if own else [])
    assert dropped == {Feature.EARLIER_REASONING}


@pytest.mark.parametrize(
    ("dialect", "part", "feature"),
    [
        (Dialect.MESSAGES, File("audio/wav", "aGk="), Feature.AUDIO),
        (Dialect.RESPONSES, File("video/mp4", "aGk="), Feature.VIDEO),
        (Dialect.GEMINI, Image("", "", "https://a.test/b.png"), Feature.IMAGE_ADDRESSES),
        (Dialect.CHAT, File("", url="https://a.test/b.pdf"), Feature.DOCUMENT_ADDRESSES),
        (Dialect.CHAT, File("audio/ogg", "aGk="), Feature.AUDIO),
        (Dialect.MESSAGES, Image("image/tiff", "aGk="), Feature.IMAGES),
        (Dialect.CHAT, File("application/zip", "aGk="), Feature.DOCUMENTS),
    ],
)
def test_what_a_dialect_has_no_place_for_is_refused_by_name(dialect, part, feature):
    with pytest.raises(Refusal) as caught:
        fit(Conversation(turns=(Turn(Role.USER, (part,)),)), dialect)
    assert (caught.value.code, caught.value.param) == ("unsupported_feature", feature)


def test_stop_sequences_are_refused_where_there_are_too_many_and_where_an_answer_cannot_be_cut():
    asked = Conversation(turns=(), sampling=Sampling(stop=tuple("abcdef")))
    for dialect in (Dialect.CHAT, Dialect.GEMINI):
        with pytest.raises(Refusal):
            fit(asked, dialect)
    assert fit(asked, Dialect.MESSAGES)[0].sampling.stop == tuple("abcdef")
    assert fit(asked, Dialect.RESPONSES)[0].sampling.stop == ()  # it is not told: its answer is cut
    for sampling in (
        Sampling(stop=tuple("abcdefghijklmnopq")),
        Sampling(stop=("a" * 257,)),
        Sampling(stop=("a",), probabilities=0),
    ):
        with pytest.raises(Refusal) as caught:
            fit(replace(asked, sampling=sampling), Dialect.RESPONSES)
        assert caught.value.param == Feature.STOP


def test_a_call_that_a_model_malformed_is_sent_back_in_words():
    asked = Conversation(turns=(Turn(Role.ASSISTANT, (ToolUse("functions.f:0", "f", b'{"a'),)),))
    [call] = fit(asked, Dialect.MESSAGES)[0].turns[0].parts
    assert (call.id, call.arguments) == ("functions_2e_f_3a_0", b'{"input":"{\\"a"}')


def test_the_refusal_of_a_model_is_text_where_there_is_no_other_place():
    asked = Conversation(turns=(Turn(Role.ASSISTANT, (RefusalText("no"),)),))
    assert [type(fit(asked, dialect)[0].turns[0].parts[0]) for dialect in Dialect] == [
        RefusalText,
        RefusalText,
        Text,
        Text,
    ]


def test_every_feature_has_a_decision_for_every_dialect():
    assert {feature: set(row) for feature, row in FEATURES.items()} == {feature: set(Dialect) for feature in Feature}
    for row in FEATURES.values():
        assert all(fate.note or fate.handling is Handling.MAPPED for fate in row.values())
