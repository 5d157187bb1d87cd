"""Claude Code's attribution reaches Anthropic as it was sent, and nobody else, in either of its forms."""

import json

import pytest

from providers.anthropic.messages import COUNT_TOKENS, MESSAGES
from providers.anthropic.reader import read_request
from providers.dialect import Target
from providers.steps import at_once

LINE = "x-anthropic-billing-header: cc_version=2.1.177.01c; cc_entrypoint=sdk-cli; cch=%s;"
CACHED = {"type": "text", "text": "You are an agent.", "cache_control": {"type": "ephemeral"}}
REST = [{"type": "text", "text": "Be brief."}, CACHED]
SYSTEMS = [
    ([{"type": "text", "text": LINE}, *REST], REST, "Be brief.\n\nYou are an agent."),
    ([{"text": LINE + "\n\nBe brief.", "type": "text"}, CACHED], [{"text": "Be brief.", "type": "text"}, CACHED], None),
    (LINE + "\nBe brief.", "Be brief.", "Be brief."),
    ([{"type": "text", "text": LINE}], None, ""),
    (LINE, None, ""),
]


def sent(system, *, attribution, wire=MESSAGES):
    body = json.dumps({"model": "m", "max_tokens": 9, "system": system, "messages": []}).encode()
    head = at_once(wire.read(body, None))
    return body, at_once(wire.splice(body, head, Target("m", attribution=attribution)))


def at(system, cch):
    return json.loads(json.dumps(system).replace("%s", cch))


@pytest.mark.parametrize("wire", [MESSAGES, COUNT_TOKENS])
@pytest.mark.parametrize(("system", "kept", "read"), SYSTEMS)
def test_requests_of_one_conversation_begin_alike_off_anthropic(system, kept, read, wire):
    bodies = [sent(at(system, cch), attribution=False, wire=wire)[1] for cch in ("36ee5", "0aaa9")]
    assert bodies[0] == bodies[1]
    assert json.loads(bodies[0]).get("system") == kept
    conversation = read_request(sent(at(system, "00000"), attribution=True)[0])
    assert conversation.system == ("Be brief.\n\nYou are an agent." if read is None else read)


@pytest.mark.parametrize(("system", "kept", "read"), SYSTEMS)
def test_anthropic_gets_every_byte(system, kept, read):
    before, after = sent(at(system, "36ee5"), attribution=True)
    assert after is before


@pytest.mark.parametrize(
    "system",
    ["Say x-anthropic-billing-header: now.", [{"type": "text", "text": "the x-anthropic-billing-header: a"}], []],
)
def test_words_that_only_mention_it_stay(system):
    before, after = sent(system, attribution=False)
    assert after is before
