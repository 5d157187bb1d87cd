from __future__ import annotations

import json

import pytest

from providers.dialect import Target
from providers.openai.completions import COMPLETIONS
from providers.steps import at_once


def read(**members):
    return at_once(COMPLETIONS.read(json.dumps({"model": "m"} | members).encode(), None))


@pytest.mark.parametrize(
    ("members", "choices"),
    [
        ({}, 1),
        ({"prompt": "x", "n": 3}, 3),
        ({"prompt": "x", "n": 2, "best_of": 5}, 5),
        ({"prompt": ["a", "b", "c"]}, 3),
        ({"prompt": ["a", "b"], "n": 2}, 4),
        ({"prompt": [1, 2, 3]}, 1),
        ({"prompt": [[1, 2], [3]]}, 2),
        ({"prompt": []}, 1),
        ({"prompt": None}, 1),
    ],
)
def test_each_prompt_has_its_own_answers(members, choices):
    assert read(**members).choices == choices


def test_the_usage_switch_is_turned_on_and_storing_is_never_added():
    raw = b'{"model":"m","prompt":"x","stream":true,"user":"bob","store":true}'
    head = at_once(COMPLETIONS.read(raw, None))

    assert not head.wants_usage
    assert at_once(COMPLETIONS.splice(raw, head, Target("m"))) == (
        b'{"stream_options":{"include_usage":true},"model":"m","prompt":"x","stream":true}'
    )


def test_a_plain_request_passes_as_it_is():
    raw = b'{"model":"m","prompt":"x","max_tokens":7}'
    head = at_once(COMPLETIONS.read(raw, None))

    assert head.output_limit == 7
    assert at_once(COMPLETIONS.splice(raw, head, Target("m"))) is raw
    assert COMPLETIONS.path("m") == "/v1/completions"
