"""A provider's error as clients of another dialect know it."""

from __future__ import annotations

import json

import pytest

from providers.conversation.failures import translate_error
from providers.dialect import Family

CHAT = "This model's maximum context length is 8192 tokens. However, your messages resulted in 9000 tokens."
WINDOW = "Your input exceeds the context window of this model. Please adjust your input and try again."
CLAUDE = "prompt is too long: 210000 tokens > 200000 maximum"
LIMIT = "input length and `max_tokens` exceed context limit: 190000 + 20000 > 200000, decrease input length"
GEMINI = "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576)."
XAI = "This model's maximum prompt length is 131072 but the request contains 537812 tokens."
BEDROCK = "Input is too long for requested model."
LLAMA = "the request exceeds the available context size, try increasing it"


@pytest.mark.parametrize(
    ("said", "anthropic", "google"),
    [
        (CHAT, "9000 tokens > 8192 maximum", "(9000) exceeds the maximum number of tokens allowed (8192)"),
        (WINDOW, WINDOW, WINDOW),
        (CLAUDE, "210000 tokens > 200000 maximum", "(210000) exceeds the maximum number of tokens allowed (200000)"),
        (LIMIT, LIMIT, LIMIT),
        (
            GEMINI,
            "1200000 tokens > 1048576 maximum",
            "(1200000) exceeds the maximum number of tokens allowed (1048576)",
        ),
        (XAI, "537812 tokens > 131072 maximum", "(537812) exceeds the maximum number of tokens allowed (131072)"),
        (BEDROCK, BEDROCK, BEDROCK),
        (LLAMA, LLAMA, LLAMA),
    ],
)
def test_an_input_that_is_too_long_is_told_in_the_words_that_clients_know(said: str, anthropic: str, google: str):
    body = json.dumps({"error": {"message": said, "type": "invalid_request_error", "code": 400}}).encode()
    found = {family: json.loads(translate_error(family, 400, body, rid="r"))["error"] for family in Family}
    assert (found[Family.OPENAI]["code"], found[Family.OPENAI]["message"]) == ("context_length_exceeded", said)
    message = found[Family.ANTHROPIC]["message"]
    assert message.startswith("prompt is too long: ")
    assert message.endswith(anthropic)
    message = found[Family.GOOGLE]["message"]
    assert message.startswith("The input token count")
    assert "exceeds the maximum number of tokens allowed" in message
    assert google in message


@pytest.mark.parametrize(
    ("status", "body"),
    [
        (500, {"error": {"message": CHAT}}),
        (400, {"error": {"message": "The context is odd."}}),
        (400, {"error": {"message": None}}),
        (400, {"detail": "Nothing is allowed."}),
        (429, {"error": CLAUDE}),
        (400, []),
    ],
)
def test_another_error_keeps_its_sentence(status: int, body: object):
    for family in Family:
        error = json.loads(translate_error(family, status, json.dumps(body).encode(), rid="r"))["error"]
        assert error.get("code") != "context_length_exceeded"
        said = body.get("error") or body.get("detail") if isinstance(body, dict) else None
        said = said.get("message") if isinstance(said, dict) else said
        assert error["message"] == (said or "The model's host answered with an error and did not say why.")
