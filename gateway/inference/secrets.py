"""What a worker does with secrets in prompts: the detector and the rule of its configuration, built at start."""

from __future__ import annotations

import os
from base64 import b32encode
from dataclasses import dataclass

from gateway.config import ConfigError, PolicyConfig, SecretsRule
from gateway.errors import PrivacyUnsupported
from gateway.inference.detection import MissingRules, Sought, detector
from providers.masking.masking import Detect, Vault, mask

_BLOCKED = (
    "The prompt holds what looks like a credential or personal data, which this account does not send to providers. "
    "Remove it from the prompt, or have the policy changed."
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """``restores``: callers get back what was masked."""

    detect: Detect
    blocks: bool
    restores: bool

    def apply(self, body: bytes) -> tuple[bytes, Vault | None]:
        """The body to send, and the secrets that were replaced in it if the answer is to get them back.

        Raises:
            PrivacyUnsupported: A secret was found, and the rule is to block.
        """
        vault = Vault(b32encode(os.urandom(5)).decode()[:6])
        masked = mask(body, self.detect, vault)
        if masked is body:
            return body, None
        if self.blocks:
            raise PrivacyUnsupported(_BLOCKED)
        return masked, vault if self.restores else None


def make_secrets(policy: PolicyConfig) -> Secrets | None:
    """``None`` where nothing is looked for; then nothing of it is imported either.

    Raises:
        ConfigError: The rule sets are not installed.
    """
    rule = policy.secrets
    if rule is SecretsRule.OFF:
        return None
    try:
        detect = detector(frozenset(map(Sought, policy.sought)))
    except MissingRules:
        raise ConfigError(("policy.secrets: needs the extra `mask`; install codegrex-gateway[mask]",)) from None
    return Secrets(detect, rule is SecretsRule.BLOCK, rule is SecretsRule.RESTORE)
