"""Refuses to start if the process has a cloud provider's credentials.

The broker would not use them, but a process without a key cannot use one even if there is a bug in it or in a library.
Messages name the variable or the key, never its value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any, Final

# By name: what clouds call theirs. The pattern below has the many that follow its form.
_NAMED: Final = frozenset(
    (
        "AWS_ACCESS_KEY_ID",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_SESSION_TOKEN",
        "AWS_BEARER_TOKEN_BEDROCK",
        "ANTHROPIC_AUTH_TOKEN",
        "AZURE_CLIENT_SECRET",
        "CLOUDFLARE_API_TOKEN",
        "CODEGREX_TOKEN",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "HF_TOKEN",
        "HUGGING_FACE_HUB_TOKEN",
        "HUGGINGFACEHUB_API_TOKEN",
        "OPENAI_ACCESS_TOKEN",
        "REPLICATE_API_TOKEN",
    )
)
_PATTERN: Final = re.compile(r"[A-Z0-9_]*_API_?KEYS?")
_CONFIGURED: Final = re.compile(r"providers?|.*(?:api_?keys?|token|secret|password|credentials?).*", re.IGNORECASE)


def in_environment(environment: Mapping[str, str]) -> list[str]:
    """The names of the variables that hold credentials; an empty value is none."""
    return sorted(
        name
        for name, value in environment.items()
        if value.strip() and (name.upper() in _NAMED or _PATTERN.fullmatch(name.upper()))
    )


def in_configuration(table: Mapping[str, Any]) -> list[str]:
    """The dotted names of the keys that hold credentials, or the provider tables that would."""
    return sorted(_walk(table, ""))


def _walk(value: Any, path: str) -> Iterator[str]:
    if isinstance(value, Mapping):
        for key, inner in value.items():
            name = f"{path}.{key}" if path else str(key)
            if _CONFIGURED.fullmatch(str(key)):
                yield name
            else:
                yield from _walk(inner, name)
    elif isinstance(value, list):
        for inner in value:
            yield from _walk(inner, path)
