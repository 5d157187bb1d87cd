"""Amazon Bedrock's endpoint for Anthropic's API itself (``bedrock-mantle``), which AWS recommends for new applications.

https://docs.aws.amazon.com/bedrock/latest/userguide/inference-messages-api.html: paths, headers, bodies and streams are
Anthropic's, and tokens are counted. Only the authentication is Amazon's, and so are errors about it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from providers.dialect import Operation
from providers.hosts.bedrock import ERROR_TYPE, Bedrock
from providers.hosts.host import Direct, HostError

OPERATIONS: Final = frozenset((Operation.ANTHROPIC_MESSAGES, Operation.ANTHROPIC_COUNT_TOKENS))
SERVICE: Final = "bedrock-mantle"
"""The name that a signature is for."""

_AMAZON: Final = Bedrock()


def base_url(location: str) -> str:
    """Where a region's models are served."""
    return f"https://bedrock-mantle.{location}.api.aws/anthropic"


def is_at(host: str, location: str) -> bool:
    """As `providers.hosts.bedrock.is_at`."""
    return not host.endswith(".api.aws") or f".{location}." in host


@dataclass(frozen=True, slots=True)
class Mantle(Direct):
    """The Messages API of a region."""

    def error(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> HostError | None:
        """What the front of the service says has Amazon's form."""
        if any(name == ERROR_TYPE for name, _ in headers) and b'"error"' not in body:
            return _AMAZON.error(status, headers, body)
        return None
