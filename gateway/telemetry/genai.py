"""An exchange that has ended, in the terms of OpenTelemetry's conventions for generative AI.

Rules:

1. `EndedExchange` has numbers, members of enumerations, a request id and `Closed` names, and nothing else. Spans and
   metrics are made of it alone, so that no attribute can hold content: there is nothing that it could be made of.
2. It is made once, when the exchange ends, from its record and from times that exist anyway: a chunk costs nothing.
3. Names are those of the semantic conventions 1.42, the last version before these conventions got a repository of their
   own (decision 043).
4. Metrics are summed up where exchanges end, in one process: nothing is lost while the collector is away.
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum
from typing import Final, NamedTuple, TypeAlias

import msgspec

from gateway.config import Cloud, ProviderConfig
from gateway.names import Closed, Rid
from gateway.telemetry.log import NoRecord
from metering.usage import Basis, FinishReason, Outcome
from providers.dialect import Family, Operation
from providers.hosts.profiles import ProfileName

ErrorType: TypeAlias = Enum | Closed | int
"""A fault, an outcome, a code of the gateway's errors, or a provider's status."""

SECONDS: Final = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
TOKENS: Final = tuple(4**power for power in range(14))
"""The bounds of the buckets that the conventions ask for."""

MOST_SERIES: Final = 2_000
"""What the specification of OpenTelemetry's metrics recommends as the limit of one instrument."""

_TRACEPARENT: Final = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_RANDOM_DIGITS: Final = 14  # 56 bits: what samplers use of a trace id
_SAMPLED: Final = 1


class GenAiOperation(StrEnum):
    """``gen_ai.operation.name``; the last two are not of the conventions."""

    CHAT = "chat"
    GENERATE_CONTENT = "generate_content"
    TEXT_COMPLETION = "text_completion"
    EMBEDDINGS = "embeddings"
    COUNT_TOKENS = "count_tokens"
    COMPACT = "compact"


OPERATIONS: Final = {
    Operation.OPENAI_CHAT: GenAiOperation.CHAT,
    Operation.OPENAI_RESPONSES: GenAiOperation.CHAT,
    Operation.OPENAI_COMPACT: GenAiOperation.COMPACT,
    Operation.OPENAI_INPUT_TOKENS: GenAiOperation.COUNT_TOKENS,
    Operation.OPENAI_COMPLETIONS: GenAiOperation.TEXT_COMPLETION,
    Operation.OPENAI_FILL_IN: GenAiOperation.TEXT_COMPLETION,
    Operation.OPENAI_EMBEDDINGS: GenAiOperation.EMBEDDINGS,
    Operation.ANTHROPIC_MESSAGES: GenAiOperation.CHAT,
    Operation.ANTHROPIC_COUNT_TOKENS: GenAiOperation.COUNT_TOKENS,
    Operation.GEMINI_GENERATE: GenAiOperation.GENERATE_CONTENT,
    Operation.GEMINI_STREAM: GenAiOperation.GENERATE_CONTENT,
    Operation.GEMINI_COUNT_TOKENS: GenAiOperation.COUNT_TOKENS,
    Operation.GEMINI_EMBED: GenAiOperation.EMBEDDINGS,
    Operation.GEMINI_BATCH_EMBED: GenAiOperation.EMBEDDINGS,
}


class GenAiProvider(StrEnum):
    """The values of ``gen_ai.provider.name`` that the conventions list, of providers that the gateway knows."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GEMINI = "gcp.gemini"
    VERTEX = "gcp.vertex_ai"
    AZURE = "azure.ai.openai"
    BEDROCK = "aws.bedrock"
    GROQ = "groq"
    MISTRAL = "mistral_ai"
    DEEPSEEK = "deepseek"
    XAI = "x_ai"
    MOONSHOT = "moonshot_ai"


_OF_CLOUD: Final = {
    Cloud.AZURE: GenAiProvider.AZURE,
    Cloud.VERTEX: GenAiProvider.VERTEX,
    Cloud.BEDROCK: GenAiProvider.BEDROCK,
    Cloud.MANTLE: GenAiProvider.BEDROCK,
}
_OF_PROFILE: Final = {
    ProfileName.GROQ: GenAiProvider.GROQ,
    ProfileName.MISTRAL: GenAiProvider.MISTRAL,
    ProfileName.DEEPSEEK: GenAiProvider.DEEPSEEK,
    ProfileName.XAI: GenAiProvider.XAI,
    ProfileName.MOONSHOT: GenAiProvider.MOONSHOT,
}
_OF_MAKER: Final = {
    Family.OPENAI: GenAiProvider.OPENAI,
    Family.ANTHROPIC: GenAiProvider.ANTHROPIC,
    Family.GOOGLE: GenAiProvider.GEMINI,
}


def provider_name(provider: ProviderConfig) -> Enum | Closed:
    """``gen_ai.provider.name``: the conventions' own value if there is one, else the operator's name of it."""
    if provider.cloud is not None:
        return _OF_CLOUD[provider.cloud]
    if provider.profile is not None:
        return _OF_PROFILE.get(provider.profile, provider.name)
    return _OF_MAKER[provider.family] if provider.first_party else provider.name


class TraceParent(msgspec.Struct, frozen=True):
    """The span of a client that an exchange belongs to (W3C Trace Context): two numbers, and whether it is sampled."""

    trace: int
    span: int
    sampled: bool


def trace_parent(values: Sequence[str]) -> TraceParent | None:
    """What the ``traceparent`` headers of a request say; ``None`` if there is not exactly one that is valid.

    Source: https://www.w3.org/TR/trace-context/#traceparent-header. ``tracestate`` is not read.
    """
    match = _TRACEPARENT.fullmatch(values[0]) if len(values) == 1 else None
    if match is None:
        return None
    version, trace, span, flags, rest = match.groups()
    if version == "ff" or (version == "00" and rest) or not int(trace, 16) or not int(span, 16):
        return None
    return TraceParent(int(trace, 16), int(span, 16), bool(int(flags, 16) & _SAMPLED))


def is_sampled(rid: Rid, parent: TraceParent | None, share: float) -> bool:
    """Whether an exchange has a span: as its parent decided, else by the random digits of its id."""
    if parent is not None:
        return parent.sampled
    return int(rid[-_RANDOM_DIGITS:], 16) < share * 16**_RANDOM_DIGITS


class TokenCounts(msgspec.Struct, frozen=True, kw_only=True):
    """The counts of a settled exchange, from its usage record.

    Attributes:
        inputs: All input, with what was read from or written to a cache.
        outputs: All output, with reasoning.
        charge: Micro-credits.
    """

    inputs: int
    cache_read: int
    cache_write: int
    outputs: int
    reasoning: int
    charge: int
    basis: Basis


class EndedExchange(msgspec.Struct, frozen=True, kw_only=True):
    """All that is told of an exchange.

    Attributes:
        rid: Its id; the hex digits are also its trace id, unless it continues another one's trace.
        operation: What was asked for.
        seconds: From the request's head to the end of the answer.
        end_ns: When that was, in Unix time.
        provider: The provider that was called last, by the operator's name; ``None`` if none was.
        model: The catalog's name of the model that was asked for; ``None`` if there is none.
        answered: The model that answered, if its name is one of the catalog's.
        translated: The dialect in which the request went on, if that is not the caller's.
        outcome: How it ended.
        error: What it failed by; ``None`` if it did not fail, or its caller ended it.
        status: Of the provider's response, else 0.
        attempts: How many were made.
        stream: The caller asked for a stream.
        first_chunk: Seconds from the request's head to the first output, of a stream.
        before: Seconds from the request's head until the provider got it, if only one attempt was made.
        finish: Why the model stopped, for each choice that it ended.
        tokens: ``None`` if there is no record: nothing is owed.
        parent: Of whose trace it is a part.
    """

    rid: Rid
    operation: Operation
    seconds: float
    end_ns: int
    provider: Closed | None = None
    model: Closed | None = None
    answered: Closed | None = None
    translated: Enum | None = None
    outcome: Outcome | NoRecord | None = None
    error: ErrorType | None = None
    status: int = 0
    attempts: int = 0
    stream: bool = False
    first_chunk: float | None = None
    before: float | None = None
    finish: tuple[FinishReason, ...] = ()
    tokens: TokenCounts | None = None
    parent: TraceParent | None = None


class SeriesKey(NamedTuple):
    """The attributes of a series. All values are from lists that are known before any request."""

    operation: GenAiOperation
    provider: Closed | None
    model: Closed | None
    answered: Closed | None
    error: ErrorType | None


class Distribution:
    """A histogram: how many values are in each bucket, and their sum."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float], counts: Sequence[int] = (), total: float = 0) -> None:
        self.bounds = bounds
        self.counts = list(counts) or [0] * (len(bounds) + 1)
        self.total = total

    def add(self, value: float) -> None:
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value

    def copy(self) -> Distribution:
        return Distribution(self.bounds, self.counts, self.total)


@dataclass(slots=True)
class Series:
    """What is measured of the exchanges of one key."""

    duration: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    first_chunk: Distribution = field(default_factory=lambda: Distribution(SECONDS))
    inputs: Distribution = field(default_factory=lambda: Distribution(TOKENS))
    outputs: Distribution = field(default_factory=lambda: Distribution(TOKENS))

    def copy(self) -> Series:
        return Series(self.duration.copy(), self.first_chunk.copy(), self.inputs.copy(), self.outputs.copy())


Sums: TypeAlias = dict[SeriesKey | None, Series]
"""By key; ``None`` has what came after `MOST_SERIES`."""


class Measurements:
    """The sums of one process since it began."""

    def __init__(self) -> None:
        self._sums: Sums = {}

    def add(self, ended: EndedExchange) -> None:
        """Count an exchange."""
        key: SeriesKey | None = SeriesKey(
            OPERATIONS[ended.operation], ended.provider, ended.model, ended.answered, ended.error
        )
        series = self._sums.get(key)
        if series is None:
            if len(self._sums) >= MOST_SERIES:
                key = None
            series = self._sums.setdefault(key, Series())
        series.duration.add(ended.seconds)
        if ended.first_chunk is not None:
            series.first_chunk.add(ended.first_chunk)
        if ended.tokens is not None:
            series.inputs.add(ended.tokens.inputs)
            series.outputs.add(ended.tokens.outputs)

    def copy(self) -> Sums:
        """The sums as they are now, for another thread."""
        return {key: series.copy() for key, series in self._sums.items()}
