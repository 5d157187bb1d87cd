"""The interface between the gateway and the wire formats.

The gateway knows operations, heads and scanners; it never knows a field name of a provider. Each operation has one
`Wire`, which reads a request's head, rewrites the few members that must
change, and makes the scanner of the answer. Everything is a pure function or a small state machine
over bytes: no I/O, no clock, no randomness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from enum import StrEnum
from typing import Final, Protocol, Self, TypeAlias

import msgspec

from metering.usage import STANDARD, Report, Variant
from providers.measures import Weight
from providers.steps import Steps


class Family(StrEnum):
    """The API that a caller or a provider speaks. Operators write these values, and statements show them."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"


class Operation(StrEnum):
    """Every data-plane operation, by a closed name that may be logged and labelled.

    The names are a contract with records and dashboards. ``family`` is the API that an operation belongs to; it is
    never derived from the name.
    """

    _value_: str
    family: Family

    def __new__(cls, value: str, family: Family) -> Self:
        self = str.__new__(cls, value)
        self._value_ = value
        self.family = family
        return self

    OPENAI_CHAT = "openai.chat", Family.OPENAI
    OPENAI_RESPONSES = "openai.responses", Family.OPENAI
    OPENAI_COMPACT = "openai.compact", Family.OPENAI
    OPENAI_INPUT_TOKENS = "openai.input_tokens", Family.OPENAI
    OPENAI_COMPLETIONS = "openai.completions", Family.OPENAI
    OPENAI_FILL_IN = "openai.fill_in", Family.OPENAI
    OPENAI_EMBEDDINGS = "openai.embeddings", Family.OPENAI
    ANTHROPIC_MESSAGES = "anthropic.messages", Family.ANTHROPIC
    ANTHROPIC_COUNT_TOKENS = "anthropic.count_tokens", Family.ANTHROPIC
    GEMINI_GENERATE = "gemini.generate", Family.GOOGLE
    GEMINI_STREAM = "gemini.stream", Family.GOOGLE
    GEMINI_COUNT_TOKENS = "gemini.count_tokens", Family.GOOGLE
    GEMINI_EMBED = "gemini.embed", Family.GOOGLE
    GEMINI_BATCH_EMBED = "gemini.batch_embed", Family.GOOGLE


_CONTEXT: Final = re.compile(r"\[[0-9]{1,4}[km]\]\Z", re.IGNORECASE)


def without_context(name: str) -> str:
    """A model's name without the suffix with which a coding agent marks a larger context (``[1m]``).

    Claude Code asks for the larger context with a beta header, and sometimes sends the suffixed name too.
    """
    return _CONTEXT.sub("", name)


class Refusal(Exception):
    """The request asks for something that is not served.

    ``message`` is a fixed sentence that says how to fix it; it never quotes the
    request. ``param`` is the name of the member at fault as the API documents it, or ``None``.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(code)
        self.code = code  # the code of an `InvalidRequest` in the gateway's error tree
        self.message = message
        self.param = param


class FurtherModel(msgspec.Struct, frozen=True):
    """A second model that a request names: a fallback, or a model that a tool calls.

    Attributes:
        name: As the client wrote it.
        param: The top-level member that names it.
        output_limit: Its own limit on output tokens; ``None`` if the request's limit applies.
        fast: It is requested at the higher speed.
    """

    name: str
    param: str
    output_limit: int | None = None
    fast: bool = False


# Output other than text, by its name in OpenAI's and Google's ``modalities``; Google's enumeration has numbers too.
_MEDIA_OUT: Final = {"audio": "audio_out", "3": "audio_out", "image": "image_out", "2": "image_out"}


def media_out(names: Iterable[str]) -> frozenset[str]:
    """The counts of the output other than text that these names ask for."""
    return frozenset(_MEDIA_OUT[name] for name in names if name in _MEDIA_OUT)


class Examined(msgspec.Struct, frozen=True):
    """The members of one request that are not sent unchanged, each by its path of names.

    Attributes:
        removed: Members that the register removes; their names are the register's.
        unlisted: Members that are removed because their object may hold only listed members.
        pseudonyms: Members that identify users.
        cache_keys: Members that name a conversation for the prompt cache; all at the top level.
        cached: Members that ask for a prompt cache beyond the provider's memory.
        unknown: Members that no table lists: strings and objects, which can name or keep something. Their names are
            the client's.
        deep: The parts of the conversation may contain members that are removed (`providers.members.deep`).
    """

    removed: tuple[tuple[str, ...], ...] = ()
    unlisted: tuple[tuple[str, ...], ...] = ()
    pseudonyms: tuple[tuple[str, ...], ...] = ()
    cache_keys: tuple[str, ...] = ()
    cached: tuple[tuple[str, ...], ...] = ()
    unknown: tuple[tuple[str, ...], ...] = ()
    deep: bool = False


class Head(msgspec.Struct, frozen=True):
    """What the gateway acts on in a request body; everything else stays undecoded bytes.

    Attributes:
        model: As the client wrote it (from the body, or from the path for Gemini).
        stream: Whether the caller asked for a streamed answer.
        output_limit: The caller's limit on output tokens for one choice, or ``None``.
        least_output: The lowest limit that a request of this form can be sent with, if the gateway has to lower its
            limit (`Target.output_limit`); ``None`` if the operation takes no limit.
        unstated_output: The limit that the API applies if ``output_limit`` is ``None``, if its documentation
            states one.
        text_only: The output is only text and tool calls, no audio or images; ``None`` if it depends on the model.
        media_out: The counts of other output that the request asks for: ``audio_out``, ``image_out``.
        most_calls: The most calls of the provider's tools that the request allows; ``None`` if it does not say.
        choices: How many answers are asked for at once (``n``, ``best_of``, ``candidateCount``).
        wants_usage: The caller itself asked for the usage chunk (OpenAI chat and completions
            streams); true if there is no such chunk to hide.
        server_tools: Closed ids of server-side tools that the request switches on.
        optional_tools: Those of them that the request offers but does not force.
        removed_tools: Offered tools that are removed (`providers.tools.removal`).
        variant: The service tier, speed and geography that the request asks for.
        region: The region in which it asks to be processed, in lower case; ``None`` if it does not say.
        further: Models that it names in addition to ``model``.
        members: Top-level members in body order: name -> (start of the value, end of the value).
        weight: The amount of input that the model reads.
        found: Members that are not sent unchanged.
    """

    model: str
    stream: bool = False
    output_limit: int | None = None
    least_output: int | None = None
    unstated_output: int | None = None
    text_only: bool | None = None
    media_out: frozenset[str] = frozenset()
    most_calls: int | None = None
    choices: int = 1
    wants_usage: bool = True
    server_tools: frozenset[str] = frozenset()
    optional_tools: frozenset[str] = frozenset()
    removed_tools: frozenset[str] = frozenset()
    variant: Variant = STANDARD
    region: str | None = None
    further: tuple[FurtherModel, ...] = ()
    members: Mapping[str, tuple[int, int]] = msgspec.field(default_factory=dict)
    weight: Weight = Weight()
    found: Examined = Examined()


class Target(msgspec.Struct, frozen=True):
    """Where a request goes, as far as the bytes are concerned.

    Attributes:
        model: The provider's own name of the model.
        alias: The client's name differs from ``model``, so that the body must be rewritten.
        store: The host knows ``store`` (OpenAI itself does; many compatible hosts reject it).
        include_usage: The host knows ``stream_options.include_usage``.
        reasons: The model reasons, so that ``reasoning.encrypted_content`` is asked for.
        pseudonym: Replaces members that identify a person at this provider.
        cache_key: Makes the replacement for a client's own key of the prompt cache, which distinguishes its
            conversations: the same for the same text, and not reversible. If ``None``, ``pseudonym`` is used.
        isolate: A request without a key of the prompt cache gets the pseudonym as one, so that accounts do not share
            a cache.
        uncached: Nothing of the request may be cached: its cache markers are removed, and it says so if the API has a
            member for that.
        output_limit: The highest output limit for one choice that the request may have, not below
            `Head.least_output`; ``None`` leaves the request's own limit unchanged.
        completion_limit: The host knows ``max_completion_tokens``; many compatible hosts know only ``max_tokens``.
        strip_unknown: Members that no table knows are removed (`providers.members.register`).
        region: The region to ask for; empty leaves the request's.
        renamed: Client's name -> provider's own name of further models, if they differ.
        extended_cache: A prompt may stay in the provider's cache for hours.
        without: Top-level members that the host does not take (`providers.hosts`).
        members: Top-level members that it requires, as JSON.
        attribution: The host is Anthropic itself, which reads Claude Code's attribution; from requests to others it is
            removed.
    """

    model: str
    alias: bool = False
    store: bool = True
    include_usage: bool = True
    reasons: bool = False
    pseudonym: str = ""
    cache_key: Callable[[str], str] | None = None
    isolate: bool = False
    uncached: bool = False
    output_limit: int | None = None
    completion_limit: bool = True
    strip_unknown: bool = True
    region: str = ""
    renamed: Mapping[str, str] = msgspec.field(default_factory=dict)
    extended_cache: bool = False
    without: tuple[str, ...] = ()
    members: tuple[tuple[str, bytes], ...] = ()
    attribution: bool = True


UNKNOWN_STATUS: Final = 502
"""The status of an error that does not say what it means."""


class ProviderError(msgspec.Struct, frozen=True):
    """An error that a provider sent inside a 2xx answer.

    Attributes:
        status: The HTTP status that it stands for, 400 to 599; `UNKNOWN_STATUS` if it does not say.
        body: The error as the dialect's own error body, as JSON: for the caller, who sent the request. It may quote
            the request, so it is never logged, and this type's representation does not show it.
        retry_after: The seconds to wait that the error states, or ``None``.
        late: It came after the answer's own end, so the caller already has the whole answer.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    late: bool = False

    def __repr__(self) -> str:
        return f"ProviderError({self.status})"


Redact: TypeAlias = Callable[[bytes], bytes]
"""Removes everything that identifies the operator's account from a provider's error."""


class Scanner(Protocol):
    """Watches one answer's body pass, and keeps numbers, the state of its end and an error, but no content.

    The caller must pass every body fragment of a 2xx answer to `feed`, in order, and send on what
    it returns; at the answer's clean end it must call `finish` and send on what that returns.

    Three facts describe the state of an answer, and may be asked for at any time:

    * ``begun``: output has come. Before that, the client has seen nothing and nobody pays.
    * ``ended``: the dialect's own end has come. It implies ``begun`` (an answer without output may end too: then the
      reason to stop is the answer) and excludes ``error``.
    * ``error``: the provider reported a failure, before or after output.

    If the transport has ended and none of the three is set, the provider sent no answer (an empty body, a lone
    ``[DONE]``, an HTML page), or was cut before its output. If only ``begun`` is set, it was cut during its output.
    """

    @property
    def size(self) -> int:
        """Bytes seen."""
        ...

    @property
    def events(self) -> int:
        """Events seen; 0 for a body that is not a stream."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return what to pass on now (normally the same object)."""
        ...

    def glance(self, framed: bytes, size: int) -> bool:
        """The fast path: take one HTTP chunk with its framing, if a quick check shows that it may pass unchanged.

        Args:
            framed: A size line, ``size`` bytes and a line end (which a malformed chunk may lack).
            size: Bytes of the chunk.

        Returns:
            Whether it was taken, its line end included. If not, nothing was noted: the caller must check the line end,
            and `feed` the chunk.
        """
        ...

    def finish(self) -> bytes:
        """The answer ended cleanly: return the bytes that were still held back."""
        ...

    def redact_errors(self, redact: Redact) -> None:
        """Pass on errors inside a stream without what ``redact`` removes. Call it before the first `feed`, if at all.

        Other events are passed on as they arrive; an incomplete event that may be an error is held back until its end.
        """
        ...

    @property
    def sse(self) -> bool:
        """The body is an event stream, so that an error event may be added if it is `at_boundary`."""
        ...

    @property
    def readable(self) -> bool:
        """False if the gateway cannot read what passes (an unknown coding or content type)."""
        ...

    @property
    def begun(self) -> bool:
        """Output has come: text, reasoning, a refusal, a tool call, an image, audio, a search ..., or the end.

        Events that only open an answer are not output: created and in-progress events, ``message_start``, pings,
        comments, a role, an empty delta, an empty candidate. A body that is not a stream has begun once it has the form
        of this operation's answer. Cheap; once true, it stays true.
        """
        ...

    @property
    def ended(self) -> bool:
        """The dialect's own end has come (``message_stop``, a finish reason, ``response.completed``), and no error."""
        ...

    @property
    def error(self) -> ProviderError | None:
        """The error that the provider sent inside the answer, also after output."""
        ...

    @property
    def at_boundary(self) -> bool:
        """The bytes that were passed on so far end exactly between two events, so an error event may follow."""
        ...

    def report(self) -> Report:
        """What the provider stated so far. May be called at any time, also after a cut."""
        ...

    def estimated_output(self) -> int:
        """An unbiased estimate of the output tokens so far; once the provider has stated them for the whole answer,
        that count. Cheap enough to ask for often.
        """
        ...

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        """Call ``call`` once, from inside `feed` or `glance`, after more than ``tokens`` further output tokens.

        A later request replaces an earlier one. The output is checked when events are sampled: in a stream after 64
        events at the latest, in a body never. The provider may state another count meanwhile: ask `estimated_output`.
        """
        ...


class Edited(Protocol):
    """A body with its edits for a target."""

    def parts(self) -> Sequence[bytes | memoryview]:
        """The bytes for the provider as parts in order, of which the unchanged ones are views on the body."""
        ...

    def built(self) -> Steps[bytes]:
        """The same as one: the body itself if nothing must change."""
        ...


class Wire(Protocol):
    """One operation of one dialect."""

    operation: Operation
    billed: bool  # False for token counting, which providers do not charge

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        """Decode the head of a request body, in steps. Raises `Refusal`."""
        ...

    def edit(self, body: bytes, head: Head, target: Target) -> Steps[Edited]:
        """What must change for a target."""
        ...

    def splice(self, body: bytes, head: Head, target: Target) -> Steps[bytes]:
        """The bytes for the provider: ``body`` itself if nothing must change."""
        ...

    def path(self, model: str) -> str:
        """The provider's path for this operation, such as ``/v1/chat/completions``."""
        ...

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        """A new scanner for a 2xx answer.

        Args:
            head: The request's head; ``wants_usage``, ``variant``, ``choices`` and ``server_tools`` matter here.
            sse: The body is an event stream, by its content type: a request for a stream may be answered with a JSON
                body. ``None`` if the type does not say; then the first bytes decide.
        """
        ...
