"""The state machine of all writers of answers: events in, blocks out.

A block is a text, a refusal, reasoning or a call; one is open at a time, and the following events belong to it until
another starts. A dialect's writer defines the bytes for the start of an answer, for a block and for the end. Rules:

1. Counts and ends do not start an answer: before the first output an error can still become a status.
2. The arguments of a call are a JSON object. A call that was cut by the output limit is left out, and
   the answer's reason to stop says why; any other invalid arguments are a failure, at once if another event follows.
3. After a failure nothing more is written, not even an end.

RUNNING -> FINISHED -> ENDED; FAILED from each.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass, field
from enum import Enum, StrEnum, auto
from typing import Final, TypeAlias

import msgspec

from providers.conversation.arguments import on_one_line, read_object
from providers.conversation.conversation import (
    Citation,
    Cited,
    Counts,
    Event,
    Failed,
    Finish,
    Part,
    Probabilities,
    Reason,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    RefusalText,
    Seal,
    Sealed,
    Text,
    TextDelta,
    TokenProbability,
    Tool,
    ToolDelta,
    ToolStart,
    ToolUse,
)

Pieces: TypeAlias = Iterable[bytes]


class BlockKind(StrEnum):
    TEXT = "text"
    REFUSAL = "refusal"
    REASONING = "reasoning"
    TOOL = "tool"


@dataclass(slots=True, repr=False)
class Block:
    """One block of an answer.

    Attributes:
        index: Its number among the answer's blocks.
        pieces: Its text so far, or a call's arguments.
        tokens: The probabilities of its tokens, if they were asked for.
        arguments: The arguments of a call that has ended.
    """

    kind: BlockKind
    index: int
    id: str = ""
    name: str = ""
    pieces: list[str] = field(default_factory=list)
    seal: Seal | None = None
    citations: list[Citation] = field(default_factory=list)
    tokens: list[TokenProbability] = field(default_factory=list)
    arguments: msgspec.Raw | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)

    def part(self) -> Part:
        """The block as a part of a turn."""
        match self.kind:
            case BlockKind.TEXT:
                return Text(self.text)
            case BlockKind.REFUSAL:
                return RefusalText(self.text)
            case BlockKind.REASONING:
                return Reasoning(self.text, self.seal)
            case BlockKind.TOOL:
                return ToolUse(self.id, self.name, bytes(self.arguments or b"{}"))


_SAID: Final = frozenset((BlockKind.TEXT, BlockKind.REFUSAL))


class _State(Enum):
    RUNNING = auto()
    FINISHED = auto()
    ENDED = auto()
    FAILED = auto()


class AnswerWriter:
    """Writes no bytes and collects events in `blocks`. A dialect's writer overrides the methods ``_on...``."""

    def __init__(
        self, identity: str = "", model: str = "", *, reasoning: bool = True, tools: Sequence[Tool] = ()
    ) -> None:
        """``reasoning``: the caller asked for reasoning. Seals are always written, because later turns need them."""
        self._identity = identity
        self._model = model
        self._reasoning = reasoning
        self._tools = tools
        self._state = _State.RUNNING
        self._begun = False
        self._open: Block | None = None
        self._incomplete = False  # the arguments of a call were not an object
        self.blocks: list[Block] = []  # the last one is the open one, if one is
        self.finish: Finish | None = None
        self.counts = Counts()
        self.events = 0  # of a dialect that numbers them

    @property
    def finished(self) -> bool:
        """The answer has its reason to stop, and did not fail."""
        return self._state in {_State.FINISHED, _State.ENDED}

    @property
    def failed(self) -> bool:
        """The answer failed, or has a call whose arguments are not an object."""
        return self._state is _State.FAILED

    def write(self, events: Iterable[Event]) -> bytes:
        """The bytes to send for these events."""
        return b"".join(piece for event in events for piece in self._take(event))

    def end(self) -> bytes:
        """The end of the answer; nothing unless it finished."""
        if self._state is not _State.FINISHED or self.finish is None:
            return b""
        out = b"".join((*self._begin(), *self._on_end(self.finish)))
        self._state = _State.ENDED
        return out

    def _take(self, event: Event) -> Pieces:
        if self._state is _State.FAILED:
            return
        match event:
            case TextDelta(text):  # most are
                yield from self._prose(BlockKind.TEXT, text)
            case Counts():
                self.counts = event
            case Failed():
                self._state = _State.FAILED
            case Finish():
                self.finish = event
                yield from self._close()
                cut = self._incomplete and event.reason is not Reason.LENGTH
                self._state = _State.FAILED if cut else _State.FINISHED
            case RefusalDelta(text):
                yield from self._prose(BlockKind.REFUSAL, text)
            case ReasoningDelta(text):
                if self._reasoning:
                    yield from self._prose(BlockKind.REASONING, text)
            case Sealed(seal):
                yield from self._sealed(seal)
            case Cited(citation):
                said = next((block for block in reversed(self.blocks) if block.kind is BlockKind.TEXT), None)
                if said is not None:
                    said.citations.append(citation)
                    if said is self._open:  # a stream can't return to a block that has ended
                        yield from self._on_citation(said, citation)
            case Probabilities(tokens):
                said = next((block for block in reversed(self.blocks) if block.kind in _SAID), None)
                if said is not None:
                    said.tokens += tokens
                    if said is self._open:
                        yield from self._on_tokens(said, tokens)
            case ToolStart(identity, name):
                yield from self._started(BlockKind.TOOL, identity, name)
            case ToolDelta(arguments):
                if self._open is not None:
                    self._open.pieces.append(arguments)
                    yield from self._on_piece(self._open, arguments)

    def _prose(self, kind: BlockKind, text: str) -> Pieces:
        block = self._open
        if block is None or block.kind is not kind:
            block = yield from self._started(kind)
        if block is not None:
            block.pieces.append(text)
            yield from self._on_piece(block, text)

    def _sealed(self, seal: Seal) -> Pieces:
        block = self._open
        if block is None or block.kind is not BlockKind.REASONING:
            block = yield from self._started(BlockKind.REASONING, seal=seal)
        if block is not None:
            block.seal = seal
            yield from self._close()

    def _started(
        self, kind: BlockKind, identity: str = "", name: str = "", seal: Seal | None = None
    ) -> Generator[bytes, None, Block | None]:
        """Open a block; the one that was open is over. None if that was a call that is no object."""
        yield from self._close()
        if self._incomplete:
            self._state = _State.FAILED
            return None
        yield from self._begin()
        block = self._open = Block(kind, len(self.blocks), identity, name, seal=seal)
        self.blocks.append(block)
        yield from self._on_open(block)
        return block

    def _begin(self) -> Pieces:
        if not self._begun:
            self._begun = True
            yield from self._on_begin()

    def _close(self) -> Pieces:
        block, self._open = self._open, None
        if block is None:
            return
        if block.kind is BlockKind.TOOL:
            block.arguments = read_object(block.text)
            if block.arguments is None:
                self._incomplete = True
                self.blocks.pop()
                return
            block.arguments = on_one_line(block.arguments)
        yield from self._on_close(block)

    # What a dialect has for them.

    def _on_begin(self) -> Pieces:
        return ()

    def _on_open(self, block: Block) -> Pieces:  # noqa: ARG002
        return ()

    def _on_piece(self, block: Block, text: str) -> Pieces:  # noqa: ARG002
        return ()

    def _on_citation(self, block: Block, citation: Citation) -> Pieces:  # noqa: ARG002
        return ()

    def _on_tokens(self, block: Block, tokens: Sequence[TokenProbability]) -> Pieces:  # noqa: ARG002
        return ()

    def _on_close(self, block: Block) -> Pieces:  # noqa: ARG002
        return ()

    def _on_end(self, finish: Finish) -> Pieces:  # noqa: ARG002
        return ()
