"""Which apps may ask people to sign in, as the operator states it.

`gateway.config.oauth` makes these from the file and checks every rule that they state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class OAuthClient:
    """An app that may ask people to sign in: its ``client_id``, and its name on the consent page."""

    name: str
    title: str


@dataclass(frozen=True, slots=True)
class OAuthConfig:
    """The public clients beside the first-party one."""

    clients: Mapping[str, OAuthClient] = field(default_factory=dict)
