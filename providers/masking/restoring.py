"""Restores masked secrets in an answer as it passes, however it is cut: a `Scanner` around the dialect's own.

Rules that everything here obeys:

1. The dialect's scanner gets the provider's bytes, and its output is restored. So counts do not change.
2. A placeholder may be spread over several events of one text. The end of a text that may be the start of a
   placeholder is held back, at most `masking.LONGEST` characters, until the text continues or ends.
3. Events without a change are passed on unchanged. A changed event is rewritten with the same
   members in the same order; text that was held back is sent before the event that ends its text.
4. Signed thinking and encrypted parts are not restored (`places.ANSWERS`): the client must send them back unchanged.
5. An event, or a body that is not a stream, is held until its end, at most `EVENT_LIMIT` or `BODY_LIMIT` bytes. A
   larger one is passed on with its placeholders, so that no answer is lost because of its length.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from providers.answers.around import Thorough
from providers.answers.sse import DONE, data_of, event_spans, last_boundary
from providers.dialect import Operation, Scanner
from providers.masking.masking import PREFIX, Vault, unmask
from providers.masking.places import ANSWERS
from providers.masking.stream_texts import Key, TextPart, ended, texts

EVENT_LIMIT: Final = 1 << 20
BODY_LIMIT: Final = 16 << 20

_SPACE: Final = b" \t\r\n"  # of JSON
_FIRST: Final = PREFIX[:1].encode()
_ANY: msgspec.json.Decoder[Any] = msgspec.json.Decoder()


class Restored(Thorough):
    """The scanner of an answer to a masked request: the output of `inner`, with its secrets restored."""

    __slots__ = (
        "_carried",
        "_carry",
        "_held",
        "_last",
        "_operation",
        "_places",
        "_through",
        "_vault",
    )

    def __init__(self, inner: Scanner, vault: Vault, operation: Operation) -> None:
        super().__init__(inner)
        self._vault = vault
        self._operation = operation
        self._places = ANSWERS[operation.family]
        self._carry: list[bytes] = []
        self._carried = 0
        self._held: dict[Key, str] = {}
        self._last: dict[Key, tuple[TextPart, bytes]] = {}  # the form of a text's next event
        self._through = False

    @property
    def at_boundary(self) -> bool:
        return self.inner.at_boundary and not self._carried

    def feed(self, data: bytes) -> bytes:
        """Take a fragment; return what to pass on now."""
        shown = self.inner.feed(data)
        if self._through or not shown:
            return shown
        if not self.sse:
            if not self._carried and not shown.strip(_SPACE):
                return shown  # signs of life before a body
            return self._gather(shown, BODY_LIMIT)
        if not self._carried and shown.endswith(b"\n\n") and not self._held and _FIRST not in shown:
            return shown  # whole events without the start of a placeholder
        block = b"".join([*self._carry, shown]) if self._carried else shown
        end = last_boundary(block)
        self._carry, self._carried = [], 0
        rest = self._gather(block[end:], EVENT_LIMIT) if end < len(block) else b""
        return self._restored(block[:end]) + rest

    def finish(self) -> bytes:
        """The answer ended cleanly: return the bytes that were still held back."""
        shown = self.inner.finish()
        block = b"".join([*self._carry, shown])
        self._carry, self._carried = [], 0
        if self._through:
            return block
        if not self.sse:
            try:
                return unmask(block, self._vault, self._places)
            except (msgspec.MsgspecError, ValueError):
                return block
        return self._restored(block) + self._flush(list(self._held))

    def _gather(self, data: bytes, limit: int) -> bytes:
        self._carry.append(data)
        self._carried += len(data)
        if self._carried <= limit:
            return b""
        whole = b"".join(self._carry)
        self._carry, self._carried = [], 0
        self._through = not self.sse
        return whole

    def _restored(self, block: bytes) -> bytes:
        if not self._held and _FIRST not in block:
            return block
        return b"".join([self._event(block[start:end]) for start, end in event_spans(block)])

    def _event(self, event: bytes) -> bytes:
        data = data_of(event)
        if not data:
            return event
        if data.strip() == DONE:
            return self._flush(list(self._held)) + event
        try:
            value = _ANY.decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return event
        found = texts(self._operation, value)
        over = ended(self._operation, value, dict.fromkeys([*self._held, *(text.key for text in found)]))
        before = self._flush([key for key in over if all(text.key != key for text in found)])
        changed = False
        for text in found:
            self._last[text.key] = (text, event)
            joined = self._held.pop(text.key, "") + text.value
            held = 0 if text.key in over else self._vault.held(joined)
            if held:
                self._held[text.key] = joined[-held:]
                joined = joined[:-held]
            restored = self._vault.restore(joined, inside_json=text.inside_json)
            if restored != text.value:
                text.owner[text.member] = restored
                changed = True
        for key in over:
            self._last.pop(key, None)
        whole = msgspec.json.encode(value) if changed else data
        unmasked = unmask(
            whole, self._vault, self._places
        )  # texts that are sent whole: arguments as an object, the summary of a text
        if changed or unmasked is not data:
            event = _written(event, unmasked)
        return before + event

    def _flush(self, keys: list[Key]) -> bytes:
        """Events with the held-back ends of texts that have ended."""
        events = []
        for key in keys:
            held = self._held.pop(key, "")
            if held:
                text, event = self._last[key]
                value = text.again(self._vault.restore(held, inside_json=text.inside_json))
                events.append(_written(event, msgspec.json.encode(value)))
        return b"".join(events)


def _written(event: bytes, data: bytes) -> bytes:
    """The event with other data and the same other fields."""
    end = b"\r\n" if b"\r\n" in event else b"\n"
    lines = [line for line in event.splitlines() if line and not line.startswith((b"data", b"{"))]
    return end.join([*lines, b"data: " + data, b"", b""])
