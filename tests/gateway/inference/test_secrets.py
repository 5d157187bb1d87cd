import json

import pytest

from gateway.config import PolicyConfig, SecretsRule
from gateway.errors import PrivacyUnsupported
from gateway.http.slices import Slices
from gateway.inference.secrets import make_secrets
from providers.dialect import Family

EMAIL = "ada@example.org"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"write to {EMAIL}"}]}).encode()
CLEAN = BODY.replace(EMAIL.encode(), b"nobody")
ALL = frozenset({"credentials", "personal"})


KEY = b"k" * 32


def made(rule, key=KEY):
    return make_secrets(PolicyConfig(secrets=rule, sought=ALL), key)


async def test_off_is_nothing():
    assert made(SecretsRule.OFF) is None


async def test_block_refuses_and_does_not_say_what_it_saw():
    secrets = made(SecretsRule.BLOCK)
    with pytest.raises(PrivacyUnsupported) as caught:
        await secrets.apply(BODY, "pid", Family.OPENAI, Slices())
    assert EMAIL not in caught.value.message
    assert await secrets.apply(CLEAN, "pid", Family.OPENAI, Slices()) == (CLEAN, None)


@pytest.mark.parametrize(("rule", "kept"), [(SecretsRule.MASK, False), (SecretsRule.RESTORE, True)])
async def test_mask_and_restore(rule, kept):
    secrets = made(rule)
    masked, vault = await secrets.apply(BODY, "pid", Family.OPENAI, Slices())
    assert EMAIL.encode() not in masked
    assert (vault is not None) is kept
    clean, vault = await secrets.apply(CLEAN, "pid", Family.OPENAI, Slices())
    assert clean is CLEAN
    assert vault is None


async def test_the_placeholder_is_of_the_account_and_the_key():
    async def sent(key, pid):
        return (await made(SecretsRule.MASK, key).apply(BODY, pid, Family.OPENAI, Slices()))[0]

    assert await sent(KEY, "one") == await sent(KEY, "one")
    different = {await sent(KEY, "one"), await sent(KEY, "two"), await sent(b"j" * 32, "one")}
    assert len(different) == 3


@pytest.mark.parametrize("rule", [SecretsRule.MASK, SecretsRule.BLOCK])
async def test_a_prompt_with_more_than_can_be_searched_is_refused(rule):
    text = " ".join(f"4{number:015d}" for number in range(110_000))  # like cards, none is one
    body = json.dumps({"messages": [{"content": text}]}).encode()
    with pytest.raises(PrivacyUnsupported) as caught:
        await made(rule).apply(body, "pid", Family.OPENAI, Slices())
    assert "Send less" in caught.value.message or rule is SecretsRule.BLOCK


def test_the_key_is_not_shown():
    assert "kkk" not in repr(made(SecretsRule.MASK))


GITHUB = "ghp_A1b2C3d4E5f6G7h8I9j0K1l2M3n4O5p6Q7r8"


def turn(content):
    return {"model": "m", "messages": [{"role": "user", "content": content}]}


def called(arguments):
    call = {"id": "c", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"model": "m", "messages": [{"role": "assistant", "tool_calls": [call]}]}


def used(given):
    return {
        "model": "m",
        "messages": [{"role": "assistant", "content": [{"type": "tool_use", "id": "c", "input": given}]}],
    }


def told(response):
    return {"contents": [{"parts": [{"functionResponse": {"name": "f", "response": response}}]}]}


@pytest.mark.parametrize("secret", [GITHUB, EMAIL])
@pytest.mark.parametrize(
    ("family", "request_"),
    [
        (Family.OPENAI, lambda secret: turn(f"data: my key is {secret}")),
        (Family.OPENAI, lambda secret: turn(f"data:text/plain;base64,{secret} is no base64")),
        (Family.OPENAI, lambda secret: turn([{"type": "text", "text": f'data: {{"token": "{secret}"}}'}])),
        (
            Family.OPENAI,
            lambda secret: turn([{"type": "file", "file": {"file_data": f"data:text/plain,TOKEN={secret}"}}]),
        ),
        (Family.OPENAI, lambda secret: {"model": "m", "messages": [{"role": "user", "name": secret, "content": "x"}]}),
        (Family.OPENAI, lambda secret: called(json.dumps({"id": secret}))),
        (Family.OPENAI, lambda secret: called(json.dumps({"name": secret, "user_id": 1}))),
        (Family.OPENAI, lambda secret: called(json.dumps({secret: 1}))),
        (Family.OPENAI, lambda secret: called({secret: {"id": secret}})),
        (Family.ANTHROPIC, lambda secret: used({"id": secret, "name": secret, "signature": secret, "data": secret})),
        (Family.ANTHROPIC, lambda secret: used({secret: "data:" + secret})),
        (
            Family.ANTHROPIC,
            lambda secret: turn([{"type": "tool_result", "tool_use_id": "c", "content": f"data: {secret}"}]),
        ),
        (Family.GOOGLE, lambda secret: {"contents": [{"parts": [{"functionCall": {"args": {"id": secret}}}]}]}),
        (Family.GOOGLE, lambda secret: told({"name": secret, secret: [secret], "data": "data: " + secret})),
        (Family.GOOGLE, lambda secret: {"contents": [{"parts": [{"text": "data:" + secret}]}]}),
    ],
)
async def test_no_look_and_no_name_hides_a_secret(family, request_, secret):
    body = json.dumps(request_(secret)).encode()
    masked, _ = await made(SecretsRule.MASK).apply(body, "pid", family, Slices())
    assert secret.encode() not in masked
    assert b"MASKED_" in masked
