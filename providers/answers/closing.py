"""What the ordinary events of one stream have in common at their end, so that another kind of event is told by it.

A stream repeats one form: its content comes and goes, but from the last quote on its events are alike, such as
``:null}]}`` behind a chat chunk's finish reason. An error, a reason to stop and whatever else interrupts the form end
in another way. To compare the end of an event costs nothing more than to see that it is whole.
"""

from __future__ import annotations

from typing import Final

_LONGEST: Final = 24
_DIGITS: Final = b"0123456789"
_PATIENCE: Final = 4


class Closing:
    """Learns the closing of a stream's ordinary events.

    Attributes:
        bytes: What they end with, at least the last bracket and the blank line.
    """

    __slots__ = ("_learnt", "_plain", "_strange", "bytes")

    def __init__(self, plain: bytes) -> None:
        self.bytes = self._plain = plain
        self._learnt = False
        self._strange = 0

    def learn(self, event: bytes) -> None:
        """Take an event that turned out to be ordinary.

        A stream whose closings differ (numbers or padding stand there) is given up after a few of them.
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
    """The event from its last quote on, if that can be the same in others; else nothing."""
    start = event.rfind(b'"')
    closing = event[start:] if start >= 0 else b""
    return closing if len(closing) <= _LONGEST and closing.translate(None, _DIGITS) == closing else b""
