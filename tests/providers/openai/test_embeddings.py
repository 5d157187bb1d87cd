from __future__ import annotations

from providers.dialect import Target
from providers.openai.embeddings import WIRE
from providers.steps import at_once


def test_nothing_is_generated_and_nobody_is_named():
    raw = b'{"input":["a","b"],"model":"e","user":"bob"}'
    head = at_once(WIRE.read(raw, None))

    assert (head.model, head.stream, head.output_limit) == ("e", False, 0)
    assert at_once(WIRE.splice(raw, head, Target("real", alias=True))) == b'{"input":["a","b"],"model":"real"}'


def test_a_plain_request_passes_as_it_is():
    raw = b'{"input":"a","model":"e","encoding_format":"base64"}'

    assert at_once(WIRE.splice(raw, at_once(WIRE.read(raw, None)), Target("e"))) is raw
    assert WIRE.path("e") == "/v1/embeddings"
