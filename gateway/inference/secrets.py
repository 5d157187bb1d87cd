"""Treats secrets in prompts: the worker's detector and configured rule, built at its start."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass, field
from functools import partial

from gateway.auth.identity import name_of_secret
from gateway.config import ConfigError, PolicyConfig, SecretsRule
from gateway.errors import PrivacyUnsupported
from gateway.http.slices import Slices
from gateway.inference.detection import Detector, MissingRules, Search, Sought, detector
from providers.dialect import Family
from providers.masking.masking import TooMany, Vault, masking
from providers.masking.places import REQUESTS

_BLOCKED = (
    "The prompt contains what looks like a credential or personal data, which the gateway's policy does not send to "
    "providers. Remove it, or ask the operator to change the policy."
)
_TOO_MANY = (
    "The prompt contains more numbers, addresses and keys than the gateway searches for secrets in one request. "
    "Send less, or ask the operator to change the policy."
)


@dataclass(frozen=True, slots=True)
class Secrets:
    """``restores``: callers get back what was masked. ``key``: the identity key, which keys the placeholders."""

    detector: Detector
    blocks: bool
    restores: bool
    key: bytes = field(repr=False)

    async def apply(self, body: bytes, pid: str, family: Family, slices: Slices) -> tuple[bytes, Vault | None]:
        """The body to send, and what was replaced in it if it is to be restored; the search is run in ``slices``.

        Raises:
            PrivacyUnsupported: A secret was found, and the rule is to block; or there is more than can be searched.
        """
        vault = Vault(partial(name_of_secret, self.key, pid))
        steps = masking(body, Search(self.detector), vault, REQUESTS[family])
        try:
            masked = await slices.run(_until_found(steps, vault) if self.blocks else steps, pid)
        except TooMany:
            raise PrivacyUnsupported(_TOO_MANY) from None
        if not len(vault):
            return body, None
        if self.blocks:
            raise PrivacyUnsupported(_BLOCKED)
        return masked, vault if self.restores else None


def _until_found(steps: Generator[None, None, bytes], vault: Vault) -> Generator[None, None, bytes]:
    """The same steps, up to the first secret."""
    while not len(vault):
        try:
            next(steps)
        except StopIteration:
            break
        yield
    steps.close()
    return b""


def make_secrets(policy: PolicyConfig, key: bytes) -> Secrets | None:
    """``None`` if nothing is looked for; then nothing of it is imported either.

    Args:
        policy: Says what is looked for, and what is done with it.
        key: The identity key.

    Raises:
        ConfigError: The rule sets are not installed.
    """
    rule = policy.secrets
    if rule is SecretsRule.OFF:
        return None
    try:
        found = detector(frozenset(map(Sought, policy.sought)))
    except MissingRules:
        raise ConfigError(("policy.secrets: needs the extra `mask`; install codegrex-gateway[mask]",)) from None
    return Secrets(found, rule is SecretsRule.BLOCK, rule is SecretsRule.RESTORE, key)
