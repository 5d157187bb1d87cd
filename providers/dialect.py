"""The interface between the gateway and the wire formats.

The gateway knows operations, heads and scanners; it never knows a field name of a provider. One
`Wire` per operation says how to read a request's head, how to rewrite the few members that must
change, and how to watch the answer pass. Everything is a pure function or a small state machine
over bytes: no I/O, no clock, no randomness.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Final, Protocol, Self, TypeAlias

import msgspec

from metering.usage import STANDARD, Report, Variant
from providers.members.decision import Examined
from providers.steps import Steps
from providers.weight.weight import Weight


class Family(StrEnum):
    """Whose API a caller or a provider speaks. The values are what operators write and what statements show."""

    OPENAI = "openai"
    ANTHROPIC = "anthropic"
    GOOGLE = "google"


class Operation(StrEnum):
    """Every data-plane operation, by a closed name that may be logged and labelled.

    The names are a contract with records and dashboards. ``family`` says whose API an operation belongs to; it is
    never read out of the name.
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
    """A model's name without the suffix by which a coding agent remembers a larger context (``[1m]``).

    Claude Code asks for it with a beta header, and now and then sends its own name of the model along.
    """
    return _CONTEXT.sub("", name)


class Refusal(Exception):
    """The request asks for something that is not served.

    ``message`` is a fixed sentence of this code base that says the mend; it never quotes the
    request. ``param`` is the name of the member at fault as the API documents it, or ``None``.
    """

    def __init__(self, code: str, message: str, param: str | None = None) -> None:
        super().__init__(code)
        self.code = code  # invalid_request | unsupported_feature | privacy_unsupported
        self.message = message
        self.param = param


class FurtherModel(msgspec.Struct, frozen=True):
    """A model that a request names beside the one it asks for, and that may answer in its place or be asked by it.

    Attributes:
        name: As the client wrote it.
        param: The top-level member that names it.
        output_limit: Its own limit on output tokens, or ``None``: the request's.
        fast: It is asked for at the higher speed.
    """

    name: str
    param: str
    output_limit: int | None = None
    fast: bool = False


class Head(msgspec.Struct, frozen=True):
    """What the gateway acts on in a request body; everything else stays undecoded bytes.

    Attributes:
        model: As the client wrote it (from the body, or from the path for Gemini).
        stream: Whether the caller asked for a streamed answer.
        output_limit: The caller's limit on output tokens for one choice, or ``None``.
        least_output: The lowest limit that a request of this form can be sent with, if the gateway has to lower its
            limit (`Target.output_limit`); ``None`` where the operation takes no limit.
        unstated_output: The limit that the API applies where ``output_limit`` is ``None``, if its documentation
            states one.
        text_only: What is produced is text (and tool calls): no audio, no images; ``None`` if it depends on the model.
        most_calls: Calls of the provider's tools that the request allows at most, or ``None``: it does not say.
        choices: How many answers are asked for at once (``n``, ``best_of``, ``candidateCount``).
        wants_usage: The caller asked for the usage chunk itself (OpenAI chat and completions
            streams); true wherever there is nothing to hide.
        server_tools: Closed ids of server-side tools that the request switches on.
        variant: What the request asks for (service tier, speed, geography).
        region: Where it asks to be processed, in lower case, or ``None`` if it does not say.
        further: Models that it names beside ``model``.
        members: Top-level members in body order: name -> (start of the value, end of the value).
        weight: How much it gives the model to read.
        found: Members that do not pass as they are.
    """

    model: str
    stream: bool = False
    output_limit: int | None = None
    least_output: int | None = None
    unstated_output: int | None = None
    text_only: bool | None = None
    most_calls: int | None = None
    choices: int = 1
    wants_usage: bool = True
    server_tools: frozenset[str] = frozenset()
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
        pseudonym: Stands in for members that identify a person at this provider.
        isolate: The request carries a key that keeps the account apart in the provider's prompt cache,
            whether or not the client sent one.
        output_limit: The output tokens of one choice that the request may ask for at most, not below
            `Head.least_output`; ``None`` leaves the request's own limit as it is.
        completion_limit: The host knows ``max_completion_tokens``; many compatible hosts know ``max_tokens`` only.
        strip_unknown: Members that no table knows are removed (`providers.members.register`).
        region: The region to ask for, or empty: what the request says.
        renamed: Client's name -> provider's own name of further models, where they differ.
        extended_cache: A prompt may stay in the provider's cache for hours.
    """

    model: str
    alias: bool = False
    store: bool = True
    include_usage: bool = True
    reasons: bool = False
    pseudonym: str = ""
    isolate: bool = False
    output_limit: int | None = None
    completion_limit: bool = True
    strip_unknown: bool = True
    region: str = ""
    renamed: Mapping[str, str] = msgspec.field(default_factory=dict)
    extended_cache: bool = False


UNKNOWN_STATUS: Final = 502
"""The status of an error that does not say what it means."""


class ProviderError(msgspec.Struct, frozen=True):
    """An error that a provider sent inside a 2xx answer.

    Attributes:
        status: The HTTP status that it means, 400 to 599; `UNKNOWN_STATUS` if it does not say.
        body: The error as the dialect's own error body, as JSON: for the caller, who sent the request. It may quote
            the request, so it is never logged and this type's representation does not show it.
        retry_after: Seconds to wait as the error says, or ``None``.
        late: It came after the answer's own end, which the caller has: there is nothing left to be cut.
    """

    status: int
    body: bytes
    retry_after: float | None = None
    late: bool = False

    def __repr__(self) -> str:
        return f"ProviderError({self.status})"


Redact: TypeAlias = Callable[[bytes], bytes]
"""Removes from an error, as a provider sent it, what names the operator's account there."""


class Scanner(Protocol):
    """Watches one answer's body pass and keeps numbers, the state of its end and an error; no content.

    The caller must pass every body fragment of a 2xx answer to `feed`, in order, and send on what
    it returns; at the answer's clean end call `finish` and send on what that returns.

    How an answer stands is told by three facts, which may be asked at any time:

    * ``begun``: output has come. Before it, an answer is nothing that a client has seen or that anyone pays for.
    * ``ended``: the dialect's own end has come. It implies ``begun`` (an answer may end without a word: the model
      was asked, and its reason to stop is its answer) and excludes ``error``.
    * ``error``: the provider said that it failed, before or after output.

    None of the three once the transport has ended: the provider answered with nothing (an empty body, a lone
    ``[DONE]``, an HTML page), or was cut before its output. Only ``begun``: it was cut inside its output.
    """

    @property
    def size(self) -> int:
        """Bytes seen."""
        ...

    @property
    def events(self) -> int:
        """Events seen; 0 for a body that is no stream."""
        ...

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return what to pass on now (normally the very same object)."""
        ...

    def glance(self, framed: bytes, size: int) -> bool:
        """Take one HTTP chunk with its framing around it, if it may pass as it is and that can be told at once.

        Args:
            framed: A size line, ``size`` bytes and, unless something is wrong, a line end.
            size: Bytes of the chunk.

        Returns:
            Whether it was taken, its line end included; if not, nothing was noted: look at it, and `feed` the chunk.
        """
        ...

    def finish(self) -> bytes:
        """The answer ended cleanly: return what was still held back."""
        ...

    def redact_errors(self, redact: Redact) -> None:
        """Pass on errors inside a stream less what ``redact`` removes. Call it before the first `feed`, if at all.

        Other events are passed on as they come; one that was cut and may be an error is held back until its end.
        """
        ...

    @property
    def sse(self) -> bool:
        """The body is an event stream, so that an error event may follow `at_boundary`."""
        ...

    @property
    def begun(self) -> bool:
        """Output has come: text, reasoning, a refusal, a tool call, an image, audio, a search ..., or the end.

        What only opens an answer is no output: created and in-progress events, ``message_start``, pings, comments, a
        role, an empty delta, an empty candidate. A body that is no stream has begun once it has the form of this
        operation's answer. Cheap: true stays true.
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
        """What was passed on so far ends exactly between two events, so an error event may follow."""
        ...

    def report(self) -> Report:
        """What the provider stated so far. May be called at any time, also after a cut."""
        ...

    def estimated_output(self) -> int:
        """Output tokens that what has passed probably holds, without bias. Cheap enough to ask often."""
        ...


class Wire(Protocol):
    """One operation of one dialect."""

    operation: Operation
    billed: bool  # False for token counting, which providers do not charge

    def read(self, body: bytes, path_model: str | None) -> Steps[Head]:
        """Decode the head of a request body, in steps. Raises `Refusal`."""
        ...

    def splice(self, body: bytes, head: Head, target: Target) -> Steps[bytes]:
        """The bytes for the provider: ``body`` itself where nothing must change."""
        ...

    def path(self, model: str) -> str:
        """The provider's path for this operation, such as ``/v1/chat/completions``."""
        ...

    def scanner(self, head: Head, *, sse: bool | None) -> Scanner:
        """A fresh scanner for a 2xx answer.

        Args:
            head: The request's head; ``wants_usage``, ``variant``, ``choices`` and ``server_tools`` matter here.
            sse: The body is an event stream. Go by its content type: a stream may have been asked for and a JSON
                body answered. ``None`` if the type does not tell: then the first bytes do.
        """
        ...
