"""Fill-in-the-middle at a host's own endpoint: what it is asked, and its chat answer as a completion, in every cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._models import construct_type
from openai.types import Completion

from providers.conversation.filling import filling_stream, prepare_filling, translate_filling
from providers.dialect import Refusal
from tests.strategies import pieces

ASK = {"model": "mine", "prompt": "def f(", "suffix": "return x", "max_tokens": 64, "stop": ["\n"], "seed": 7}
ANSWER = {
    "id": "x", "object": "chat.completion", "model": "theirs", "created": 1,
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "x):\n"}, "finish_reason": "stop"}],
    "usage": {"prompt_tokens": 8, "completion_tokens": 9, "total_tokens": 17},
}  # fmt: skip


def chunk(delta, reason=None, **members):
    choice = {"index": 0, "delta": delta, "finish_reason": reason}
    return b"data: %b\n\n" % json.dumps({"object": "chat.completion.chunk", "choices": [choice]} | members).encode()


USAGE = {"usage": ANSWER["usage"]}
STREAM = chunk({"role": "assistant", "content": ""}) + chunk({"content": "x)"}) + chunk({"content": ":\n"})
STREAM += chunk({"content": ""}, "length", **USAGE) + b"data: [DONE]\n\n"


NAMED = {"model": "mine", "identity": "1"}


def made(**members):
    ask = ASK | members
    body, dropped = prepare_filling(json.dumps(ask).encode(), members=ask, model="theirs")
    return json.loads(body), dropped


def streamed(parts, *, wants_usage=True):
    stream = filling_stream(**NAMED, wants_usage=wants_usage)
    out = b"".join(stream.feed(part) for part in parts)
    return stream, out if stream.ended else out + stream.finish()


def completions(stream):
    return [
        construct_type(type_=Completion, value=json.loads(line[6:]))
        for line in stream.split(b"\n\n")
        if line.startswith(b"data: {")
    ]


def test_the_host_gets_only_what_it_knows():
    body, dropped = made(
        stream=True, stream_options={"include_usage": True}, user="u", presence_penalty=1, n=1, echo=False
    )
    assert body == {
        "model": "theirs", "prompt": "def f(", "suffix": "return x", "max_tokens": 64, "stop": ["\n"],
        "stream": True, "random_seed": 7,
    }  # fmt: skip
    assert dropped == ("presence_penalty", "stream_options", "user")


def test_an_unstated_limit_is_that_of_the_caller_s_api():
    assert made(max_tokens=None)[0]["max_tokens"] == 16


@pytest.mark.parametrize(
    ("name", "value"),
    [("n", 2), ("best_of", 3), ("echo", True), ("logprobs", 0), ("prompt", ["a"]), ("prompt", [1]), ("prompt", None)],
)
def test_what_the_host_cannot_do_is_refused_by_name(name, value):
    with pytest.raises(Refusal) as caught:
        made(**{name: value})
    assert (caught.value.code, caught.value.param) == ("unsupported_feature", name)


def test_a_whole_answer_is_a_completion():
    found = Completion.model_validate_json(translate_filling(json.dumps(ANSWER).encode(), **NAMED))
    assert (found.object, found.model, found.choices[0].text) == ("text_completion", "mine", "x):\n")
    assert (found.choices[0].finish_reason, found.usage.completion_tokens) == ("stop", 9)


@given(st.data())
def test_a_stream_is_completions_in_every_cut(data):
    stream, out = streamed(data.draw(pieces(STREAM)))
    assert stream.ended
    found = completions(out)
    assert "".join(choice.text for one in found for choice in one.choices) == "x):\n"
    assert [one.choices[0].finish_reason for one in found if one.choices] == [None, None, "length"]
    assert found[-1].usage.prompt_tokens == 8
    assert out.endswith(b"data: [DONE]\n\n")
    assert b"usage" not in streamed([STREAM], wants_usage=False)[1]


def test_a_stream_that_is_cut_has_no_end():
    for length in range(0, STREAM.index(b"length"), 3):
        stream, out = streamed([STREAM[:length]])
        assert (stream.ended, stream.error is not None) == (False, True)
        assert b"DONE" not in out


@pytest.mark.parametrize("body", [b"", b"{}", b'{"choices":[]}', b"<html>", b'{"error":{"message":"x"}}'])
def test_any_other_answer_has_failed(body):
    assert translate_filling(body, **NAMED) is None
