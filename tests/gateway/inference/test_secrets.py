import json

import pytest

from gateway.config import PolicyConfig, SecretsRule
from gateway.errors import PrivacyUnsupported
from gateway.inference.secrets import make_secrets

EMAIL = "ada@example.org"
BODY = json.dumps({"model": "m", "messages": [{"role": "user", "content": f"write to {EMAIL}"}]}).encode()
CLEAN = BODY.replace(EMAIL.encode(), b"nobody")
ALL = frozenset({"credentials", "personal"})


def policy(rule):
    return PolicyConfig(secrets=rule, sought=ALL)


def test_off_is_nothing():
    assert make_secrets(policy(SecretsRule.OFF)) is None


def test_block_refuses_and_does_not_say_what_it_saw():
    secrets = make_secrets(policy(SecretsRule.BLOCK))
    with pytest.raises(PrivacyUnsupported) as caught:
        secrets.apply(BODY)
    assert EMAIL not in caught.value.message
    assert secrets.apply(CLEAN) == (CLEAN, None)


@pytest.mark.parametrize(("rule", "kept"), [(SecretsRule.MASK, False), (SecretsRule.RESTORE, True)])
def test_mask_and_restore(rule, kept):
    secrets = make_secrets(policy(rule))
    masked, vault = secrets.apply(BODY)
    assert EMAIL.encode() not in masked
    assert (vault is not None) is kept
    again, _ = secrets.apply(BODY)
    assert again != masked  # another exchange, another placeholder
    clean, vault = secrets.apply(CLEAN)
    assert clean is CLEAN
    assert vault is None
