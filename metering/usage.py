"""What a request used: the counts, the closed vocabularies and the record that is kept.

Rules that everything here obeys:

1. A field that the provider did not state is ``None``: unknown is not zero. ``None`` becomes 0 in
   one place only, `Usage.settled`.
2. The count fields do not overlap. Input is the sum of ``in_uncached``, ``cache_*``,
   ``tool_in``, ``audio_in`` and ``image_in``; output is the sum of ``out_*``, ``audio_out`` and
   ``image_out``; each field has a price of its own.
3. Nothing here can hold text from a client or a provider: only integers and closed enumerations.
4. A count may hold parts that have a price of their own (`PARTS`). A part is never more than its count. Parts are
   for pricing: a record holds the counts only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from operator import attrgetter
from types import MappingProxyType
from typing import TypeAlias

import msgspec

LARGEST_AMOUNT = 2**53 - 1  # of micro-credits or tokens: the store's functions count to here exactly
MICRO_CREDITS = 1_000_000  # in one credit; every amount of money is a whole number of micro-credits


class Basis(StrEnum):
    """Where the counts of a record come from."""

    REPORTED = "reported"  # the provider's own count
    PARTIAL = "partial"  # counted here, because the stream was cut before the provider reported
    ORPHAN = "orphan"  # settled by the reaper from the hold and the last checkpoint


class FinishReason(StrEnum):
    """Why a model stopped: a closed list, whatever the provider's own word for it."""

    STOP = "stop"
    LENGTH = "length"
    TOOL_CALL = "tool_call"
    CONTENT_FILTER = "content_filter"
    OTHER = "other"  # stated by the provider, unknown to this version


class Outcome(StrEnum):
    """How the exchange ended: a closed list, never text from a provider or client."""

    COMPLETED = "completed"
    CLIENT_ABORT = "client_abort"
    UPSTREAM_CUT = "upstream_cut"  # the provider's answer ended before it was complete
    UPSTREAM_ERROR = "upstream_error"  # the provider reported an error after a stream had begun
    UPSTREAM_TIMEOUT = "upstream_timeout"
    CREDITS_EXHAUSTED = "credits_exhausted"
    SUPERSEDED = "superseded"
    REVOKED = "revoked"
    DRAINED = "drained"
    LOST = "lost"  # the gateway died; the reaper settled


class ServiceTier(StrEnum):
    STANDARD = "standard"
    FLEX = "flex"
    PRIORITY = "priority"
    BATCH = "batch"
    PROVISIONED = "provisioned"
    OTHER = "other"  # stated by the provider, unknown to this version


class Speed(StrEnum):
    NORMAL = "normal"
    FAST = "fast"


class Geography(StrEnum):
    GLOBAL = "global"
    US = "us"
    EU = "eu"
    OTHER = "other"


class Variant(msgspec.Struct, frozen=True):
    """Service tier x speed x geography: the properties of a request that change the price of the same model."""

    tier: ServiceTier = ServiceTier.STANDARD
    speed: Speed = Speed.NORMAL
    geography: Geography = Geography.GLOBAL

    def __str__(self) -> str:
        """The record's form: ``standard``, ``priority``, ``standard.fast``, ``standard.us`` ..."""
        parts = [self.tier.value]
        if self.speed is not Speed.NORMAL:
            parts.append(self.speed.value)
        if self.geography is not Geography.GLOBAL:
            parts.append(self.geography.value)
        return ".".join(parts)


STANDARD = Variant()


class Usage(msgspec.Struct):
    """Token and tool counts of one request. ``None`` means that nobody stated it.

    Attributes:
        cache_read_audio: Part of ``cache_read``: audio.
        video_in: Part of ``in_uncached``: video.
        preview_searches: Part of ``searches``: calls of OpenAI's tool ``web_search_preview``.
        file_searches: Part of ``searches``: searches in files.
        map_searches: Part of ``searches``: grounding with Google Maps.
    """

    in_uncached: int | None = None
    cache_read: int | None = None
    cache_write_5m: int | None = None
    cache_write_1h: int | None = None
    cache_write_other: int | None = None
    tool_in: int | None = None
    audio_in: int | None = None
    image_in: int | None = None
    out_visible: int | None = None
    out_reasoning: int | None = None
    audio_out: int | None = None
    image_out: int | None = None
    searches: int | None = None
    fetches: int | None = None
    code_runs: int | None = None
    cache_read_audio: int | None = None
    video_in: int | None = None
    preview_searches: int | None = None
    file_searches: int | None = None
    map_searches: int | None = None

    def settled(self) -> Usage:
        """A copy for the ledger, in which unknown counts are 0."""
        counts = [*_ALL_OF(self)]
        for slot, count in enumerate(counts):
            if count is None:
                counts[slot] = 0
        return Usage(*counts)

    @property
    def input_tokens(self) -> int:
        """All tokens read by the model, cached or not."""
        return sum(filter(None, _INPUTS_OF(self)))

    @property
    def output_tokens(self) -> int:
        """All tokens produced by the model, shown or not."""
        return sum(filter(None, _OUTPUTS_OF(self)))


PARTS: Mapping[str, str] = MappingProxyType(
    {
        "cache_read_audio": "cache_read",
        "video_in": "in_uncached",
        "preview_searches": "searches",
        "file_searches": "searches",
        "map_searches": "searches",
    }
)
"""Part -> the count that holds it."""
COUNTS: tuple[str, ...] = tuple(name for name in Usage.__struct_fields__ if name not in PARTS)
INPUT_COUNTS: tuple[str, ...] = COUNTS[: COUNTS.index("image_in") + 1]
OUTPUT_COUNTS: tuple[str, ...] = COUNTS[COUNTS.index("out_visible") : COUNTS.index("image_out") + 1]
TOKEN_COUNTS: tuple[str, ...] = (*INPUT_COUNTS, *OUTPUT_COUNTS)
TOOL_COUNTS: tuple[str, ...] = ("searches", "fetches", "code_runs")  # the last of COUNTS

Counts: TypeAlias = tuple[int | None, ...]
counts_of: Callable[[Usage], Counts] = attrgetter(*COUNTS)
"""All counts, in the order of `COUNTS`."""
parts_of: Callable[[Usage], Counts] = attrgetter(*PARTS)
"""All parts, in the order of `PARTS`."""
_ALL_OF: Callable[[Usage], Counts] = attrgetter(*Usage.__struct_fields__)
_INPUTS_OF: Callable[[Usage], Counts] = attrgetter(*INPUT_COUNTS)
_OUTPUTS_OF: Callable[[Usage], Counts] = attrgetter(*OUTPUT_COUNTS)


class Report(msgspec.Struct, frozen=True):
    """What a provider stated about one request.

    Attributes:
        usage: The counts, or ``None`` when the provider stated none.
        variant: What the provider says it used, if it says so.
        others: Parts of the request that ran on another model and that ``usage`` does not include
            (Anthropic ``iterations``): the provider's model name, used only for a catalog look-up,
            and its counts.
        contexts: The counts of each model request that ``usage`` is the sum of, if the provider states them: a price
            for long contexts depends on each request by itself.
        model: The provider's name of the model that answered, if it is stated; used only for a catalog look-up.
        suspect: A count contradicts the others (more cached tokens than the prompt has, a total below one of its
            parts, a number that no request reaches). The side that it belongs to counts as not stated.
        unpriced: The provider states something that is not zero and that this version does not know or cannot price:
            a usage member, a service tier, a kind of traffic.
        reasoning_dropped: The provider removed reasoning of earlier turns from the prompt, since it was bound to
            another organisation, end user, model or conversation.
        finish: Why each of the choices ended, in their order; of those that have.
    """

    usage: Usage | None = None
    variant: Variant | None = None
    others: tuple[tuple[str, Usage], ...] = ()
    suspect: bool = False
    unpriced: bool = False
    contexts: tuple[Usage, ...] = ()
    model: str | None = None
    reasoning_dropped: bool = False
    finish: tuple[FinishReason, ...] = ()


class UsageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that is kept about a request (the contract with the billing service).

    Field order is the order of ``usage list --json``. Times are Unix milliseconds, ``cost`` and
    ``charge`` micro-credits, counts tokens or calls. ``charge`` is the request's total: of several
    records with one ``rid`` the highest ``rev`` replaces the others. ``unpriced`` is 1 if the provider
    stated something that the price list has no price for, else 0; records from before it count as 0.
    """

    v: int = 1
    rid: str
    rev: int
    pid: str
    provider: str
    model: str
    variant: str
    started_ms: int
    settled_ms: int
    in_uncached: int
    cache_read: int
    cache_write_5m: int
    cache_write_1h: int
    cache_write_other: int
    tool_in: int
    audio_in: int
    image_in: int
    out_visible: int
    out_reasoning: int
    audio_out: int
    image_out: int
    searches: int
    fetches: int
    code_runs: int
    cost: int
    charge: int
    basis: str
    outcome: str
    price_version: str
    unpriced: int = 0

    @property
    def cache_write(self) -> int:
        """Input that was written to a cache."""
        return self.cache_write_5m + self.cache_write_1h + self.cache_write_other

    @property
    def input_tokens(self) -> int:
        """All tokens read by the model, cached or not."""
        return self.in_uncached + self.cache_read + self.cache_write + self.tool_in + self.audio_in + self.image_in

    @property
    def output_tokens(self) -> int:
        """All tokens produced by the model, shown or not."""
        return self.out_visible + self.out_reasoning + self.audio_out + self.image_out
