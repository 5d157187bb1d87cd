"""Amazon Bedrock: Claude by ``InvokeModel`` and ``InvokeModelWithResponseStream``, its tokens by ``CountTokens``.

https://docs.aws.amazon.com/bedrock/latest/userguide/model-parameters-anthropic-claude-messages.html: the model and
whether the answer is a stream are in the path and not in the body; the body has ``anthropic_version`` and the betas,
which are headers at Anthropic. A stream has Amazon's framing (`event_stream`).
https://docs.aws.amazon.com/bedrock/latest/userguide/count-tokens.html: a request to count has such a body as base64,
and names the model itself, not an inference profile.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote

import msgspec

from providers.anthropic.failure import error_body
from providers.dialect import Operation, Wire
from providers.headers import BETA, FIXED
from providers.hosts.bedrock_counting import CountedTokens, counting
from providers.hosts.bedrock_errors import status_of
from providers.hosts.event_stream import CONTENT_TYPE, Unframed
from providers.hosts.host import Headers, HostError, Shape, Unframe, dated_version

OPERATIONS: Final = frozenset((Operation.ANTHROPIC_MESSAGES, Operation.ANTHROPIC_COUNT_TOKENS))
SERVICE: Final = "bedrock"
"""The name that a signature is for."""

_VERSION: Final = b"bedrock-2023-05-31"
# Models that know dated versions: Claude 4.7 and later (https://platform.claude.com/docs/en/api/versioning).
_DATED: Final = re.compile(r"claude-[a-z]+-(?:4-(?:[7-9]|[1-9]\d)|[5-9]|[1-9]\d)(?!\d)")
# A request to count is one to generate, which must have a limit: above each budget for thinking that the model takes.
_LIMIT: Final = b"32000"
_OLD: Final = re.compile(r"claude-3-(?!7)")
_OLD_LIMIT: Final = b"4096"
ERROR_TYPE: Final = b"x-amzn-errortype"
# By the start of a region's name, the most specific one first: https://docs.aws.amazon.com/general/latest/gr/bedrock.html
_REGIONS: Final = (
    *(("eu-west-2", "uk"), ("eu-central-2", "ch"), ("eu-", "eu"), ("us-", "us"), ("ca-", "ca"), ("sa-east-1", "br")),
    *(("ap-south-", "in"), ("ap-northeast-2", "kr"), ("ap-northeast-", "jp"), ("ap-southeast-1", "sg")),
    *(("ap-southeast-2", "au"), ("ap-southeast-4", "au")),
)
# Inference profiles, which send requests to several regions:
# https://docs.aws.amazon.com/bedrock/latest/userguide/inference-profiles-support.html
_PROFILES: Final = {"eu": "eu", "us": "us", "us-gov": "us", "jp": "jp", "au": "au", "ca": "ca"}
_MAKER: Final = "anthropic"
# How the runtime says, with a 400, that it does not have the model, or not for requests without an inference profile.
_NO_COUNT: Final = "The provided model doesn't support counting tokens"  # a 400 too: another host may count
_NO_MODEL: Final = (
    "The provided model identifier is invalid",
    "Invocation of model ID ",
    "The provided model doesn't support on-demand throughput",
)


class _Message(msgspec.Struct):
    message: str | None = None
    Message: str | None = None


def base_url(location: str) -> str:
    """Where a region's models are served."""
    return f"https://bedrock-runtime.{location}.amazonaws.com"


def is_at(host: str, location: str) -> bool:
    """Whether a host may serve a region: Amazon's own have its name, private and FIPS endpoints too; of another, a
    proxy, nothing is known.
    """
    return not host.endswith(".amazonaws.com") or f".{location}." in host


def region_of(location: str, model: str = "") -> str:
    """The region in which a model is served that is asked for at a location: ``global`` if none is promised.

    A name such as ``eu.anthropic.claude-...`` is an inference profile, whose regions hold instead of the location.
    """
    profile = _profile_of(model)
    if profile:
        return _PROFILES.get(profile, "global")
    return next((region for start, region in _REGIONS if location.startswith(start)), "global")


def _profile_of(model: str) -> str:
    """The regions of an inference profile, such as ``eu``; empty for a model's own name."""
    profile, dot, rest = model.partition(".")
    return profile if dot and profile != _MAKER and rest.startswith(f"{_MAKER}.") else ""


@dataclass(frozen=True, slots=True)
class Bedrock:
    """The runtime API of a region."""

    def shape(self, wire: Wire, model: str, *, stream: bool, query: str, headers: Headers) -> Shape:  # noqa: ARG002 - it has no query
        version = (dated_version(headers) if _DATED.search(model) else b"") or _VERSION
        members = [("anthropic_version", b'"%b"' % version)]
        betas = [beta.strip().decode() for name, value in headers if name == BETA for beta in value.split(b",")]
        if betas:
            members.append(("anthropic_beta", msgspec.json.encode(betas)))
        counts = wire.operation is Operation.ANTHROPIC_COUNT_TOKENS
        if counts:
            method, profile = "count-tokens", _profile_of(model)
            model = model[len(profile) + 1 :] if profile else model
            members.append(("max_tokens", _OLD_LIMIT if _OLD.search(model) else _LIMIT))
        else:
            method = "invoke-with-response-stream" if stream else "invoke"
        path = f"/model/{quote(model, safe=':')}/{method}"
        wrap = counting if counts else None
        return Shape(path, "", list(FIXED), ("model", "stream"), tuple(members), wrap)

    def unframed(self, operation: Operation, headers: Headers) -> Unframe | None:
        if operation is Operation.ANTHROPIC_COUNT_TOKENS:
            return CountedTokens
        for index, (name, value) in enumerate(headers):
            if name == b"content-type" and value.partition(b";")[0].strip().lower() == CONTENT_TYPE:
                headers[index] = (name, b"text/event-stream; charset=utf-8")
                return Unframed
        return None

    def error(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> HostError | None:
        try:
            said = msgspec.json.decode(body, type=_Message)
        except (msgspec.DecodeError, RecursionError):
            said = _Message()
        name = next((value for key, value in headers if key == ERROR_TYPE), b"").decode("latin-1")
        means, message = status_of(name, status), said.message or said.Message or ""
        if means == 400 and message.startswith(_NO_MODEL):
            means = 404
        elif means == 400 and message.startswith(_NO_COUNT):
            means = 501
        return HostError(means, error_body(means, message))
