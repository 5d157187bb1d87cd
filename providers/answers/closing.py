"""The common ending of the ordinary events of one stream, by which events of another kind are recognised.

A stream repeats one form: the content differs, but from the last quote on its events are the same, such as
``:null}]}`` after the finish reason of a chat chunk. An error, a reason to stop and any other exception end
differently. Comparing the end of an event costs no more than checking that the event is complete.
"""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 24
_DIGITS: Final = b"0123456789"
_PATIENCE: Final = 4


class Closing:
    """Learns the closing of a stream's ordinary events.

    Attributes:
        bytes: The common ending: at least the last bracket and the blank line.
    """

    __slots__ = ("_learnt", "_plain", "_strange", "bytes")

    def __init__(self, plain: bytes) -> None:
        self.bytes = self._plain = plain
        self._learnt = False
        self._strange = 0

    def learn(self, event: bytes) -> None:
        """Take an event that turned out to be ordinary.

        After a few different closings (which contain numbers or padding), learning stops for this stream.
        """
        if self._strange > _PATIENCE:
            return
        closing = _from_last_quote(event) or self._plain
        if not self._learnt:
            self._learnt, self.bytes = True, closing
        elif closing != self.bytes:
            self._strange += 1
            if self._strange > _PATIENCE:
                self.bytes = self._plain


def _from_last_quote(event: bytes) -> bytes:
    """The event from its last quote on, if other events can end the same; else empty."""
    start = event.rfind(b'"')
    closing = event[start:] if start >= 0 else b""
    return closing if len(closing) <= _LONGEST and closing.translate(None, _DIGITS) == closing else b""
