"""Collects what a dialect finds in a request, and builds its `Weight`."""

from __future__ import annotations

from typing import Final

import msgspec

from providers.bounds import STEP_BYTES
from providers.document.look import objects_of, values
from providers.document.members import is_list, is_object, is_string
from providers.document.objects import Objects
from providers.measures import Weight
from providers.media.look import Gallery
from providers.steps import Steps
from providers.weight import text

_MOST_STRINGS: Final = 100_000  # strings, and commas in them, that are examined one by one
_MANY: Final = 1_000


class Tally:
    """What was found so far. A dialect adds each value once.

    Attributes:
        media: The request's images, documents, audio and video.
        turns: The number of messages.
        instructed: There are instructions in addition to the messages.
        calls: The number of tool calls and their results.
        signed: Bytes of signatures and encrypted reasoning.
        thinks: Reasoning is asked for.
        tokens: Input that is given as tokens, and parts with a fixed number of tokens.
    """

    __slots__ = (
        "_data",
        "_definitions",
        "_schemas",
        "_texts",
        "_thoughts",
        "_tools",
        "calls",
        "instructed",
        "media",
        "signed",
        "thinks",
        "tokens",
        "turns",
    )

    def __init__(self) -> None:
        self.media = Gallery()
        self.turns = self.calls = self.signed = self.tokens = 0
        self.instructed = self.thinks = False
        self._texts: list[msgspec.Raw] = []
        self._data: list[msgspec.Raw] = []
        self._definitions: list[msgspec.Raw] = []
        self._schemas: list[msgspec.Raw] = []
        self._thoughts: list[msgspec.Raw] = []
        self._tools = 0

    def text(self, raw: msgspec.Raw) -> None:
        """Add a string that the model reads; any other value counts as `Weight.rest`."""
        if is_string(raw):
            self._texts.append(raw)

    def thought(self, raw: msgspec.Raw) -> None:
        """Add reasoning that the client sends back with its turn."""
        if is_string(raw):
            self._thoughts.append(raw)

    def ask(self) -> None:
        """Note a new question of the user: providers drop the reasoning of earlier turns."""
        self._thoughts.clear()
        self.signed = 0

    def data(self, raw: msgspec.Raw) -> None:
        """Add an object, a list, or a string of JSON, such as a call's arguments."""
        if len(raw):
            self._data.append(raw)

    def define(self, raw: msgspec.Raw | None, objects: Objects) -> Steps[None]:
        """Add the request's list of tool definitions; ``objects``: what was decoded of the request."""
        if raw is not None and is_list(raw):
            self._definitions.append(raw)
            for batch in objects_of(objects, raw):
                self._tools += len(batch)
                yield

    def schema(self, raw: msgspec.Raw | None) -> None:
        """Add the schema of a structured answer."""
        if raw is not None and is_object(raw):
            self._schemas.append(raw)

    def text_or_tokens(self, raw: msgspec.Raw | None) -> Steps[None]:
        """Add a prompt of OpenAI's older APIs: a string, tokens, or a list of either."""
        if raw is None:
            return
        if is_string(raw):
            self.text(raw)
        elif is_list(raw):
            commas, view = 0, memoryview(raw)
            for start in range(0, len(view), STEP_BYTES):
                commas += bytes(view[start : start + STEP_BYTES]).count(b",")
                yield
            if bytes(memoryview(raw)[1:64]).lstrip(b" \t\r\n")[:1] != b'"':
                self.tokens += commas + 1  # tokens, or lists of tokens: one token between two commas
            elif commas > _MOST_STRINGS:
                self.data(raw)
            else:
                yield
                for number, one in enumerate(values(raw), 1):
                    self.text(one)
                    if number % _MANY == 0:
                        yield

    def weight(self, body: int) -> Steps[Weight]:
        """The weight of the request, whose body has this number of bytes."""
        self._texts += self._thoughts
        counted = self.media.text + self.signed
        for raws in (self._texts, self._data, self._definitions, self._schemas):
            counted += sum(map(len, raws))
            if len(raws) > _MANY:
                yield
        texts = text.count(self._texts)
        if len(self._texts) > _MANY:
            yield
        data = text.count_json(self._data)
        if len(self._data) > _MANY:
            yield
        return Weight(
            text=texts,
            data=data,
            definitions=text.count_json(self._definitions),
            schema=text.count_json(self._schemas),
            turns=self.turns,
            instructed=self.instructed,
            calls=self.calls,
            tools=self._tools,
            signed=self.signed,
            thinks=self.thinks,
            tokens=self.tokens,
            rest=max(0, body - counted),
            media=self.media.done(),
        )
