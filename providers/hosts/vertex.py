"""Vertex AI: Gemini at its own methods, and Claude in ``rawPredict``.

https://docs.cloud.google.com/vertex-ai/generative-ai/docs/model-reference/inference and
https://platform.claude.com/docs/en/build-with-claude/claude-on-vertex-ai: the model is in the path and not in the body,
except for the counting of tokens; the body has ``anthropic_version`` instead of the header, with a name of its own for
the API's first version; betas stay in the header.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import msgspec

from providers.anthropic.failure import provider_error
from providers.dialect import Family, Operation, Wire
from providers.headers import BETA, FIXED
from providers.hosts.host import Headers, HostError, Shape, Unframe, dated_version

OPERATIONS: Final = frozenset(
    (
        Operation.GEMINI_GENERATE,
        Operation.GEMINI_STREAM,
        Operation.GEMINI_COUNT_TOKENS,
        Operation.ANTHROPIC_MESSAGES,
        Operation.ANTHROPIC_COUNT_TOKENS,
    )
)
SCOPE: Final = "https://www.googleapis.com/auth/cloud-platform"
_VERSION: Final = b"vertex-2023-10-16"
_METHODS: Final = {
    Operation.GEMINI_GENERATE: "generateContent",
    Operation.GEMINI_STREAM: "streamGenerateContent",
    Operation.GEMINI_COUNT_TOKENS: "countTokens",
}
# By the start of a location's name, the most specific one first: https://docs.cloud.google.com/vertex-ai/docs/general/locations
_REGIONS: Final = (
    *(("europe-west2", "uk"), ("europe-west6", "ch"), ("europe-", "eu"), ("eu", "eu"), ("us", "us")),
    *(("northamerica-northeast", "ca"), ("southamerica-east1", "br"), ("asia-south1", "in"), ("asia-south2", "in")),
    *(("asia-northeast3", "kr"), ("asia-northeast", "jp"), ("asia-southeast1", "sg"), ("australia-", "au")),
)


def base_url(location: str) -> str:
    """Where a location is served, as Google's and Anthropic's SDKs have it."""
    if location == "global":
        return "https://aiplatform.googleapis.com"
    if location in ("us", "eu"):
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{location}-aiplatform.googleapis.com"


def region_of(location: str) -> str:
    """The region in which a location processes requests: ``global`` if none is promised, or none is known."""
    return next((region for start, region in _REGIONS if location.startswith(start)), "global")


def is_at(host: str, location: str) -> bool:
    """Whether a host may serve a location: each of Google's own serves one; of another, a proxy, nothing is known."""
    return not host.endswith(".googleapis.com") or host == base_url(location).removeprefix("https://")


@dataclass(frozen=True, slots=True)
class Vertex:
    """One project at one location, for one of the two APIs."""

    family: Family
    project: str
    location: str

    def shape(self, wire: Wire, model: str, *, stream: bool, query: str, headers: Headers) -> Shape:
        operation = wire.operation
        parent = f"/v1/projects/{self.project}/locations/{self.location}/publishers"
        if operation.family is Family.GOOGLE:
            path = f"{parent}/google/models/{quote(model, safe='')}:{_METHODS[operation]}"
            return Shape(path, f"?{query}" if query else "", headers)
        members = (("anthropic_version", b'"%b"' % (dated_version(headers) or _VERSION)),)
        sent = [*FIXED, *(header for header in headers if header[0] == BETA)]
        if operation is Operation.ANTHROPIC_COUNT_TOKENS:
            return Shape(f"{parent}/anthropic/models/count-tokens:rawPredict", "", sent, members=members)
        method = "streamRawPredict" if stream else "rawPredict"
        path = f"{parent}/anthropic/models/{quote(model, safe='@')}:{method}"
        return Shape(path, "", sent, ("model",), members)

    def unframed(self, operation: Operation, headers: Headers) -> Unframe | None:  # noqa: ARG002 - the protocol's signature
        return None

    def error(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> HostError | None:  # noqa: ARG002 - the protocol's signature
        """Claude's own errors come through as they are; Google's, of the project or of the model's place, do not."""
        if self.family is Family.GOOGLE:
            return None
        try:
            found = msgspec.json.decode(body)
        except (msgspec.DecodeError, RecursionError):
            return None
        if isinstance(found, list) and found:
            found = found[0]
        if not isinstance(found, dict) or found.get("type") == "error" or "error" not in found:
            return None
        return HostError(status, provider_error(found).body)
