from __future__ import annotations

import json

import pytest

from metering.usage import ServiceTier, Variant
from providers.dialect import Operation, Target
from providers.document.members import read_members
from providers.openai.request import CACHING, read_variant
from providers.steps import at_once
from providers.wires import WIRES


@pytest.mark.parametrize(
    ("named", "tier"),
    [
        ('"auto"', ServiceTier.STANDARD),
        ('"default"', ServiceTier.STANDARD),
        ('"flex"', ServiceTier.FLEX),
        ('"priority"', ServiceTier.PRIORITY),
        ('"fast"', ServiceTier.PRIORITY),
        ('"scale"', ServiceTier.PROVISIONED),
        ('"invented"', ServiceTier.OTHER),
        ("null", ServiceTier.STANDARD),
        ("5", ServiceTier.STANDARD),
    ],
)
def test_the_service_tier_is_a_closed_word(named, tier):
    assert read_variant(at_once(read_members(f'{{"service_tier":{named}}}'.encode()))) == Variant(tier=tier)


@pytest.mark.parametrize("wire", [WIRES[operation] for operation in sorted(CACHING)])
@pytest.mark.parametrize("key", [b"", b',"prompt_cache_key":"mine"', b',"prompt_cache_key":null'])
def test_isolation_puts_the_account_s_key_into_every_generating_request(wire, key):
    body = b'{"model":"m","input":"x","messages":[]' + key + b"}"
    sent = at_once(wire.splice(body, at_once(wire.read(body, None)), Target("m", pseudonym="p", isolate=True)))
    assert json.loads(sent)["prompt_cache_key"] == "p"
    shared = at_once(wire.splice(body, at_once(wire.read(body, None)), Target("m", pseudonym="p")))
    assert json.loads(shared).get("prompt_cache_key") == ("p" if b"mine" in key else None)
    keyed = Target("m", pseudonym="p", isolate=True, cache_key=lambda text: f"keyed {text}")
    sent = at_once(wire.splice(body, at_once(wire.read(body, None)), keyed))
    assert json.loads(sent)["prompt_cache_key"] == ("keyed mine" if b"mine" in key else "p")


def test_operations_that_have_no_such_key_get_none():
    for operation in (Operation.OPENAI_COMPLETIONS, Operation.OPENAI_EMBEDDINGS, Operation.OPENAI_INPUT_TOKENS):
        text = b"prompt" if operation is Operation.OPENAI_COMPLETIONS else b"input"
        body = b'{"model":"m","' + text + b'":"x"}'
        sent = at_once(
            WIRES[operation].splice(
                body, at_once(WIRES[operation].read(body, None)), Target("m", pseudonym="p", isolate=True)
            )
        )
        assert b"prompt_cache_key" not in sent
