"""Embeddings through the other API: the same texts and sizes, the same vectors in their order, as the SDKs read them."""

import json
import struct
from base64 import b64decode

import pytest
from google.genai.types import EmbedContentResponse
from hypothesis import given
from hypothesis import strategies as st
from openai.types import CreateEmbeddingResponse

from providers.conversation.embeddings import EMBEDDERS, EMBEDDING, prepare_embeddings, translate_embeddings
from providers.dialect import Family, Operation, Refusal

OPENAI, ONE, BATCH = Operation.OPENAI_EMBEDDINGS, Operation.GEMINI_EMBED, Operation.GEMINI_BATCH_EMBED
CONTENT = {"parts": [{"text": "a"}]}
ASK = {
    OPENAI: {"model": "m", "input": "a", "dimensions": 2},
    ONE: {"content": CONTENT, "outputDimensionality": 2},
    BATCH: {"requests": [{"model": "models/m", "content": CONTENT, "output_dimensionality": 2}]},
}
ASKED = {
    Family.OPENAI: {"model": "theirs", "input": ["a"], "encoding_format": "float", "dimensions": 2},
    Family.GOOGLE: {"requests": [{"model": "models/theirs", "content": CONTENT, "outputDimensionality": 2}]},
}
ANSWER = {
    Family.OPENAI: {"data": [{"index": 0, "embedding": [0.5, -1e-3]}], "usage": {"prompt_tokens": 3}},
    Family.GOOGLE: {"embeddings": [{"values": [0.5, -1e-3]}], "usageMetadata": {"promptTokenCount": 3}},
}


class Made:
    """A request for embeddings, and its answers."""

    def __init__(self, source, family, **members):
        ask = ASK[source] | members
        self.operations = source, EMBEDDERS[family]
        self.prepared = prepare_embeddings(*self.operations, json.dumps(ask).encode(), members=ask, model="theirs")
        self.body, self.dropped = json.loads(self.prepared.body), self.prepared.dropped

    def bytes_for(self, body, estimate=9):
        asked = {"texts": self.prepared.texts, "base64": self.prepared.base64}
        return translate_embeddings(*self.operations, body, **asked, model="mine", estimate=estimate)


def told(made, answer, estimate=9):
    found = made.bytes_for(answer if isinstance(answer, bytes) else json.dumps(answer).encode(), estimate)
    return found and json.loads(found)


@pytest.mark.parametrize("family", ASKED)
@pytest.mark.parametrize("source", sorted(EMBEDDING))
def test_there_and_back(source, family):
    translation = Made(source, family)
    assert translation.body == ASKED[family]
    answer = told(translation, ANSWER[family])
    if source is OPENAI:
        read = CreateEmbeddingResponse.model_validate(answer)
        assert (read.data[0].embedding, read.usage.prompt_tokens, read.model) == ([0.5, -1e-3], 3, "mine")
    else:
        read = answer["embedding"] if source is ONE else EmbedContentResponse.model_validate(answer).embeddings[0]
        assert (read["values"] if source is ONE else read.values) == [0.5, -1e-3]
        assert answer["usageMetadata"] == {"promptTokenCount": 3}


@given(
    st.lists(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5), min_size=1, max_size=9)
)
def test_vectors_as_base64_have_the_same_numbers(vectors):
    translation = Made(OPENAI, Family.GOOGLE, input=["a"] * len(vectors), encoding_format="base64")
    answer = told(translation, {"embeddings": [{"values": vector} for vector in vectors]})
    found = [b64decode(datum["embedding"]) for datum in answer["data"]]
    assert [list(struct.unpack(f"<{len(packed) // 4}f", packed)) for packed in found] == vectors


def test_vectors_keep_the_bytes_of_their_numbers_and_the_order_of_their_texts():
    translation = Made(BATCH, Family.OPENAI, requests=[{"content": CONTENT}, {"content": "b"}])
    assert translation.body["input"] == ["a", "b"]
    body = b'{"data":[{"index":1,"embedding":[2]},{"index":0,"embedding":[0.10000000000000000001, 1e-05]}]}'
    assert translation.bytes_for(body) == (
        b'{"embeddings":[{"values":[0.10000000000000000001, 1e-05]},{"values":[2]}]}'
    )


def test_a_count_that_is_not_stated_is_the_estimate_where_the_api_always_has_one():
    answer = told(Made(OPENAI, Family.GOOGLE), {"embeddings": [{"values": [1]}]}, estimate=7)
    assert answer["usage"] == {"prompt_tokens": 7, "total_tokens": 7}
    assert "usageMetadata" not in told(Made(ONE, Family.OPENAI), {"data": [{"embedding": [1]}]})


def test_what_a_text_is_for_is_dropped_by_name():
    assert Made(ONE, Family.OPENAI, taskType="RETRIEVAL_QUERY", title="t").dropped == ("taskType", "title")
    requests = [{"content": CONTENT, "task_type": "RETRIEVAL_QUERY", "embedContentConfig": {"outputDimensionality": 5}}]
    translation = Made(BATCH, Family.OPENAI, requests=requests)
    assert translation.dropped == ("requests.embedContentConfig", "requests.taskType")
    assert translation.body["dimensions"] == 5
    assert Made(OPENAI, Family.GOOGLE, user="u").dropped == ("user",)


@pytest.mark.parametrize(
    ("source", "family", "members", "code", "param"),
    [
        (OPENAI, Family.GOOGLE, {"input": [1, 2]}, "unsupported_feature", "input"),
        (OPENAI, Family.GOOGLE, {"input": [[1], [2]]}, "unsupported_feature", "input"),
        (OPENAI, Family.GOOGLE, {"input": []}, "invalid_request", "input"),
        (OPENAI, Family.GOOGLE, {"encoding_format": "int8"}, "invalid_request", "encoding_format"),
        (ONE, Family.OPENAI, {"content": {"parts": [{"inlineData": {}}]}}, "unsupported_feature", "content"),
        (ONE, Family.OPENAI, {"content": None}, "invalid_request", "content"),
        (BATCH, Family.OPENAI, {"requests": []}, "invalid_request", "requests"),
        (
            BATCH,
            Family.OPENAI,
            {"requests": [{"content": "a"}, {"content": "b", "outputDimensionality": 3}]},
            "unsupported_feature",
            "outputDimensionality",
        ),
    ],
)
def test_what_is_refused_is_named(source, family, members, code, param):
    with pytest.raises(Refusal) as caught:
        Made(source, family, **members)
    assert (caught.value.code, caught.value.param) == (code, param)


OTHERS = [b"", b"{}", b"[]", b'{"data":[]}', b'{"embeddings":[]}', b'{"embeddings":[{"values":["x"]}]}', b"\xff"]
OTHERS += [
    b'{"data":[{"embedding":"!"}]}',
    b'{"data":[{"embedding":"AAA="}]}',
    b'{"data":[{"embedding":{}}]}',
    b"[" * 9_999,
]


@pytest.mark.parametrize("family", ASKED)
@pytest.mark.parametrize("source", sorted(EMBEDDING))
def test_an_answer_that_lacks_a_vector_has_failed(source, family):
    assert [body for body in OTHERS if told(Made(source, family), body) is not None] == []


def test_a_number_beyond_the_floats_of_base64_fails():
    assert told(Made(OPENAI, Family.GOOGLE, encoding_format="base64"), b'{"embeddings":[{"values":[1e300]}]}') is None


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-2, 2) | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(
            st.sampled_from(["parts", "text", "content", "title", "outputDimensionality"]), inner, max_size=3
        )
    ),
    max_leaves=6,
)


@given(st.sampled_from(sorted(EMBEDDING)), st.sampled_from(list(ASKED)), st.data())
def test_any_other_form_is_refused(source, family, data):
    name = data.draw(st.sampled_from(sorted(ASK[source])))
    try:
        Made(source, family, **{name: data.draw(VALUES)})
    except Refusal as refusal:
        assert refusal.message.endswith(".")  # noqa: PT017
