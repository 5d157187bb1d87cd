import base64
import json
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.dialect import Family
from providers.masking import masking as module
from providers.masking.masking import LONGEST, NAME_LENGTH, PREFIX, Found, TooMany, Vault, mask, masking, unmask
from providers.masking.places import ANSWERS, REQUESTS, Treatment
from tests.providers.masking.naming import name, vault

SECRETS = ["hunter22-secret", 'quo"te\\secret', "line\nsecret", "sécret-ünïcode"]


def detect(text):
    """Finds the secrets above wherever they stand."""
    found = [
        Found(at, at + len(secret), "SECRET")
        for secret in SECRETS
        for at in range(len(text))
        if text.startswith(secret, at)
    ]
    return sorted(found)


def placeholder(secret, kind="SECRET"):
    return f"{PREFIX}{kind}_{name(secret)}_"


def dumps(value, **options):
    return json.dumps(value, **options).encode()


PROSE = st.lists(st.sampled_from(SECRETS) | st.text(max_size=12), max_size=6).map("".join)


@given(st.lists(PROSE, min_size=1, max_size=4), st.booleans())
def test_what_is_masked_comes_back_and_nothing_else_changes(parts, ascii_only):
    body = dumps(
        {"model": "m", "messages": [{"role": "user", "content": part} for part in parts]}, ensure_ascii=ascii_only
    )
    kept = vault()
    masked = mask(body, detect, kept)
    text = json.dumps(json.loads(masked), ensure_ascii=False)
    assert not any(detect(message["content"]) for message in json.loads(masked)["messages"])
    assert json.loads(unmask(masked, kept)) == json.loads(body)
    if not len(kept):
        assert masked is body
    assert text.count(PREFIX) == sum(part.count(secret) for part in parts for secret in SECRETS) or len(kept)


@given(st.lists(PROSE, min_size=2, max_size=6), st.data())
def test_a_conversation_that_goes_on_begins_with_the_same_bytes(parts, data):
    turns = [{"role": "user", "content": part} for part in parts]
    length = data.draw(st.integers(1, len(turns) - 1))
    first, second = (mask(dumps({"messages": some}), detect, vault()) for some in (turns[:length], turns))
    assert second.startswith(first[: -len(b"]}")])


@given(st.lists(PROSE, max_size=4))
def test_what_is_masked_is_not_masked_again(parts):
    once = mask(dumps({"messages": parts}), detect, vault())
    assert mask(once, detect, vault()) is once


def test_a_rule_that_takes_a_placeholder_for_a_secret_is_not_heard():
    held = placeholder("x" * 9, "PASSWORD")

    def every(text):
        return [Found(found.start(1), found.end(1), "PASSWORD") for found in re.finditer("://u:([^@]+)@", text)]

    body = dumps({"a": f"p://u:{held}@h p://u:{held}and-more@h"})
    masked = mask(body, every, vault()).decode()
    assert masked.count(held) == 1
    assert "and-more" not in masked


def test_the_same_secret_has_one_placeholder_in_all_exchanges_of_an_account_and_another_in_others():
    one, two, other = vault(), vault(), vault("other")
    assert one.placeholder("s", "SECRET") == two.placeholder("s", "SECRET") != one.placeholder("t", "SECRET")
    assert one.placeholder("s", "SECRET") != other.placeholder("s", "SECRET")
    assert len(one.placeholder("u", "PASSWORDWORD")) <= LONGEST
    assert NAME_LENGTH * 5 >= 64
    assert repr(one) == "<Vault of 3>"


def test_bytes_outside_of_the_secrets_stay_as_they_were_sent():
    body = b'{ "a" :\t"x hunter22-secret",\n"n": 1.50e3 , "b":"\\u0041plain"}'
    masked = mask(body, detect, vault())
    assert masked == body.replace(b"hunter22-secret", placeholder("hunter22-secret").encode())


def test_nothing_is_exempt_by_its_look_or_its_name():
    words = "hunter22-secret"
    body = dumps(
        {
            "id": words,
            "signature": words,
            "url": "data:" + words,
            "data": words,
            words: {"type": "thinking", "thinking": words},
            "messages": [{"role": "user", "name": words, "content": f"data: {words}"}],
        }
    )
    for family in Family:
        assert words.encode() not in mask(body, detect, vault(), REQUESTS[family])


def names_of(tree):
    for member, inner in tree.items():
        if member is not None:
            yield member.decode()
            yield from names_of(inner)


EXEMPT_NAMES = sorted({name for tree in REQUESTS.values() for name in names_of(tree)} | {"type", "name", "thought"})
WORDS = "hunter22-secret"
INSIDE = st.recursive(
    st.sampled_from([WORDS, f"data: {WORDS}", f"data:text/plain,{WORDS}", "thinking", "base64", "text/plain"])
    | st.booleans(),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from([*EXEMPT_NAMES, WORDS]), inner, min_size=1, max_size=4)
    ),
    max_leaves=10,
)


def call_of_openai(arguments):
    return {
        "messages": [
            {"role": "assistant", "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": arguments}}]}
        ]
    }


FREE = [
    (Family.OPENAI, lambda given: call_of_openai(json.dumps(given))),
    (Family.OPENAI, call_of_openai),
    (
        Family.OPENAI,
        lambda given: {"messages": [{"role": "assistant", "function_call": {"arguments": json.dumps(given)}}]},
    ),
    (Family.OPENAI, lambda given: {"messages": [{"role": "tool", "tool_call_id": "c", "content": json.dumps(given)}]}),
    (
        Family.OPENAI,
        lambda given: {"input": [{"type": "function_call", "call_id": "c", "arguments": json.dumps(given)}]},
    ),
    (Family.OPENAI, lambda given: {"tools": [{"type": "function", "function": {"parameters": {"default": given}}}]}),
    (
        Family.ANTHROPIC,
        lambda given: {"messages": [{"content": [{"type": "tool_use", "id": "c", "input": {"a": given}}]}]},
    ),
    (Family.ANTHROPIC, lambda given: {"tools": [{"name": "f", "input_schema": {"default": given}}]}),
    (Family.GOOGLE, lambda given: {"contents": [{"parts": [{"functionCall": {"name": "f", "args": {"a": given}}}]}]}),
    (Family.GOOGLE, lambda given: {"contents": [{"parts": [{"functionResponse": {"response": {"a": given}}}]}]}),
]


@given(free=st.sampled_from(FREE), inside=INSIDE)
@settings(max_examples=300)
def test_what_a_tool_is_given_or_says_is_searched_under_every_name(free, inside):
    family, request_ = free
    assert WORDS.encode() not in mask(dumps(request_(inside)), detect, vault(), REQUESTS[family])


def exact_places(tree, path=()):
    for member, inner in tree.items():
        if member is not None:
            yield from exact_places(inner, (*path, member.decode()))
        elif inner.treatment is Treatment.EXACT:
            yield path, {kind.decode() for kind in inner.kinds}


def test_every_exempt_place_is_documented():
    page = (Path(__file__).parents[3] / "docs/secrets.md").read_text()
    ids = {"model", "id", "call_id", "tool_call_id", "tool_use_id"}
    for family, tree in REQUESTS.items():
        for path, kinds in exact_places(tree):
            told = path[-1] in ids or any(f"`{word}`" in page for word in {*path, *kinds})
            assert told or (path[-1] == "text" and "signed thoughts" in page), (family, path)


def test_what_is_signed_or_encrypted_stays_byte_by_byte():
    words = "hunter22-secret"
    block = {"type": "thinking", "thinking": f"use {words}", "signature": "c2ln"}
    body = dumps({"messages": [{"role": "assistant", "content": [block, {"type": "text", "text": words}]}]})
    left, text = json.loads(mask(body, detect, vault(), REQUESTS[Family.ANTHROPIC]))["messages"][0]["content"]
    assert left == block
    assert text["text"] == placeholder(words)
    kept = vault()
    held = kept.placeholder(words, "SECRET")
    answer = dumps(
        {"content": [{"type": "thinking", "thinking": held, "signature": held}, {"type": "text", "text": held}]}
    )
    shown = json.loads(unmask(answer, kept, ANSWERS[Family.ANTHROPIC]))["content"]
    assert (shown[0]["thinking"], shown[1]["text"]) == (held, words)


def encoded(text):
    return base64.b64encode(text.encode()).decode()


def part(source):
    return dumps({"messages": [{"role": "user", "content": [source]}]})


@pytest.mark.parametrize(
    "url",
    [
        "data:text/plain;base64," + encoded("key hunter22-secret"),
        "data:application/json;charset=utf-8;base64," + encoded('{"a":"hunter22-secret"}'),
        "data:application/octet-stream;base64," + encoded("key hunter22-secret"),
        "data:;base64," + encoded("key hunter22-secret"),
        "data:text/plain;base64," + encoded("key hunter22-secret").rstrip("="),
        "data:text/plain;base64," + base64.encodebytes(b"hunter22-secret" + b" and more words" * 20).decode(),
        "data:image/svg+xml;base64," + encoded("<svg>hunter22-secret</svg>"),
        "data:text/plain,key=hunter22-secret",
        "https://a.test/?key=hunter22-secret",
    ],
)
def test_a_text_that_comes_as_data_is_searched(url):
    masked = mask(part({"type": "file", "file": {"file_data": url}}), detect, vault(), REQUESTS[Family.OPENAI])
    sent = json.loads(masked)["messages"][0]["content"][0]["file"]["file_data"]
    assert placeholder("hunter22-secret") in (
        base64.b64decode(sent.partition(",")[2]).decode() if ";base64," in sent else sent
    )


@pytest.mark.parametrize("kind", ["image/png", "application/pdf", "audio/wav", "video/mp4"])
def test_media_stay_as_they_were_sent(kind):
    every = lambda text: [Found(0, len(text), "SECRET")]  # noqa: E731
    data = encoded("binary " * 300)
    url = {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
    assert mask(part(url), every, Vault(name), REQUESTS[Family.OPENAI]).count(data.encode()) == 1
    source = {"type": "document", "source": {"type": "base64", "media_type": kind, "data": data}}
    assert mask(part(source), every, Vault(name), REQUESTS[Family.ANTHROPIC]).count(data.encode()) == 1


def arguments(text):
    return dumps({"messages": [{"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": text}}]}]})


def test_json_inside_of_a_string_is_read_as_json():
    inner = {"key": SECRETS[1], "more": [SECRETS[2]], SECRETS[0]: 1}
    kept = vault()
    masked = mask(arguments(json.dumps(inner)), detect, kept, REQUESTS[Family.OPENAI])
    sent = json.loads(json.loads(masked)["messages"][0]["tool_calls"][0]["function"]["arguments"])
    assert sent == {"key": placeholder(SECRETS[1]), "more": [placeholder(SECRETS[2])], placeholder(SECRETS[0]): 1}
    answer = dumps({"choices": [{"message": {"tool_calls": [{"function": {"arguments": json.dumps(sent)}}]}}]})
    shown = json.loads(unmask(answer, kept, ANSWERS[Family.OPENAI]))["choices"][0]["message"]["tool_calls"][0]
    assert json.loads(shown["function"]["arguments"]) == inner
    assert kept.restore("see " + sent["key"]) == "see " + SECRETS[1]


@pytest.mark.parametrize(
    "text",
    [
        '{"k":"hunter22-secret',
        '{"k": hunter22-secret}',
        "hunter22-secret",
        "[" * 20_000 + '"hunter22-secret"' + "]" * 20_000,
        '{"a":' * 20_000 + '"hunter22-secret"' + "}" * 20_000,
        json.dumps({"a": json.dumps({"b": json.dumps({"c": "hunter22-secret"})})}),
    ],
)
def test_arguments_of_any_form_are_searched(text):
    assert b"hunter22-secret" not in mask(arguments(text), detect, vault(), REQUESTS[Family.OPENAI])


@pytest.mark.parametrize(
    "body",
    [
        b'{"a":"hunter22-secret',
        b'{"a" "hunter22-secret"}',
        b'"hunter22-secret',
        b'{"a":"\xff hunter22-secret"}',
        b'{"a":"\\q hunter22-secret"}',
        b'{"a":"\\ud800 hunter22-secret"}',
        b'{"a":"\\u0068unter22-secret"}',
        b'{"a":"' + b"\\n" * 70_000 + b"\\ud83d\\ude00" * 70_000 + b'hunter22-secret"}',
        b'{"a":"' + "é".encode() * 200_000 + b'hunter22-secret"}',
    ],
)
def test_what_is_hardly_json_is_searched_all_the_same(body):
    masked = mask(body, detect, vault())
    assert placeholder("hunter22-secret").encode() in masked
    assert b"unter22-secret" not in masked


@given(
    st.lists(st.sampled_from(["é", "😀", "\n", '"', "\\", "plain words ", "\ud800", "hunter22-secret"]), max_size=40)
)
def test_a_long_text_is_read_in_pieces_and_stays_the_same(monkeypatch_pieces, parts):
    text = "".join(parts)
    kept = vault()
    masked = mask(json.dumps({"a": text}).encode(), detect, kept)
    assert json.loads(masked)["a"] == text.replace("hunter22-secret", placeholder("hunter22-secret"))


@pytest.fixture(scope="module")
def monkeypatch_pieces():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_PIECE", 8)
        patch.setattr(module, "_PART", re.compile(rb'[^"\\]{0,5}(?:\\.[^"\\]{0,4}){0,1}', re.DOTALL))
        yield


def by_name(text):
    """Knows a secret only after its name."""
    return [
        Found(found.start(1), found.end(1), "SECRET", context=True) for found in re.finditer("key=([a-z0-9-]+)", text)
    ]


def test_a_secret_that_was_known_by_its_context_is_masked_where_it_stands_alone_later():
    secret = "long-enough-1"
    body = dumps({"messages": [f"{secret} key={secret}", f"you said {secret}, twice: {secret}"]})
    first, second = json.loads(mask(body, by_name, vault()))["messages"]
    assert first == f"{secret} key={placeholder(secret)}"  # before it was known: what is sent does not change later
    assert second == f"you said {placeholder(secret)}, twice: {placeholder(secret)}"
    short = dumps({"messages": ["key=short-1", "short-1"]})
    assert json.loads(mask(short, by_name, vault()))["messages"][1] == "short-1"  # a word, not a secret by itself


def test_more_secrets_than_are_kept_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_SECRETS", 3)
    numbered = lambda text: [Found(found.start(), found.end(), "SECRET") for found in re.finditer("s[0-9]{8}", text)]  # noqa: E731
    assert mask(dumps({"a": "s00000001 s00000002 s00000003 s00000001"}), numbered, vault())
    with pytest.raises(TooMany):
        mask(dumps({"a": "s00000001 s00000002 s00000003 s00000004"}), numbered, vault())


def test_masking_is_done_in_steps():
    steps = list(masking(dumps({"a": "x\n" * 500_000}), detect_nothing, vault(), REQUESTS[Family.OPENAI]))
    assert len(steps) > 10


def detect_nothing(text):
    return []


def test_what_may_be_the_beginning_of_a_placeholder_is_held():
    kept = vault()
    whole = kept.placeholder("secret", "SECRET")
    for size in range(1, len(whole)):
        assert kept.held("text " + whole[:size]) == size
    assert kept.held("text " + whole) == 0
    assert kept.held("MMM") == 1
    assert kept.held("MASKED_OTHER") == 0
    assert vault().held("M") == 0


def test_a_placeholder_of_nobody_stays():
    kept = vault()
    mine, foreign = kept.placeholder("secret", "SECRET"), placeholder("another")
    assert kept.restore(f"{foreign} {mine}{mine} {PREFIX}{mine}") == f"{foreign} secretsecret {PREFIX}secret"
