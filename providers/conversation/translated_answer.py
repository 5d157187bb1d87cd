"""Watches a provider's answer in its own dialect, and passes it on in the caller's: a `Scanner` around the native one.

Rules that everything here obeys:

1. The native scanner gets the provider's bytes, and counts them: what is charged does not depend on a translation.
2. An answer that can't be told in the caller's dialect has failed, also if its provider ended it well.
3. A provider's error becomes the caller's own error event, once, less what names the operator's account.
4. A cut is no error here: the caller of `finish` sees that the end is missing, as with every other answer.
"""

from __future__ import annotations

import re
from typing import Final

from providers.answers.around import Thorough
from providers.conversation.failures import TOO_LONG, translate_error_event
from providers.conversation.translator import StreamTranslator, Translated
from providers.dialect import ProviderError, Redact, Scanner

MOST_WHOLE: Final = 8 << 20
"""Bytes of an answer that is one object: more than the longest text, or 250 vectors of 1,536 numbers."""

MOST_OBJECTS: Final = 20_000
"""Objects in such an answer: more than it has probabilities of tokens."""

_OBJECT: Final = re.compile(rb"\{[ \t\r\n]*[\"}]")  # in a text, its first quote would follow a backslash
_ERROR: Final = b"error"
_SPACE: Final = b" \t\r\n"  # of JSON


class TranslatedStream(Thorough):
    """The scanner of a streamed answer."""

    __slots__ = ("_redact", "_rid", "_stream", "_told", "_translation")

    def __init__(self, inner: Scanner, translation: Translated, rid: str) -> None:
        """``rid``: of the request, for the error events of dialects that have it there."""
        super().__init__(inner)
        self._translation = translation
        self._stream: StreamTranslator = translation.stream()
        self._rid = rid
        self._redact: Redact = bytes
        self._told = False  # the caller has its error event

    def redact_errors(self, redact: Redact) -> None:
        self._redact = redact

    def feed(self, data: bytes) -> bytes:
        shown = self.inner.feed(data)
        if self._told:
            return b""
        out = self._stream.feed(shown, self._failed)
        # To ask the provider's scanner makes it read each event, so it is asked only where an error may be.
        if _ERROR in shown or self._stream.error is not None:
            return out + self._failure() if self.error is not None else out
        return out

    def finish(self) -> bytes:
        rest = self.inner.finish()
        if self._told:
            return b""
        out = self._stream.feed(rest, self._failed) if rest else b""
        if self.inner.ended:
            out += self._stream.finish()
        return out + self._failure() if self.error is not None else out

    def _failed(self) -> bool:
        """The provider's answer has failed, before its end."""
        error = self.inner.error
        return error is not None and not error.late

    def _failure(self) -> bytes:
        """The error event. Before any output nobody sees it, as long as the error can become a status."""
        error = self.error
        if error is None or error.late:
            return b""
        self._told = True
        error = ProviderError(error.status, self._redact(error.body), error.retry_after)
        return translate_error_event(
            self._translation.operation, error, rid=self._rid, sse=self.sse, sequence=self.events
        )

    @property
    def events(self) -> int:
        return self._stream.events

    @property
    def sse(self) -> bool:
        return self._stream.sse

    @property
    def at_boundary(self) -> bool:
        return self._stream.at_boundary

    @property
    def ended(self) -> bool:
        return self.inner.ended and self._stream.ended

    @property
    def error(self) -> ProviderError | None:
        return self.inner.error or self._stream.error


class TranslatedBody(Thorough):
    """The scanner of an answer that is one object: before its end only the spaces pass that are signs of life."""

    __slots__ = ("_error", "_held", "_size", "_translation", "_whole")

    def __init__(self, inner: Scanner, translation: Translated) -> None:
        super().__init__(inner)
        self._translation = translation
        self._held: list[bytes] = []
        self._size = 0
        self._whole = False
        self._error: ProviderError | None = None

    def feed(self, data: bytes) -> bytes:
        shown = self.inner.feed(data)
        if not self._size and not shown.strip(_SPACE):
            return shown
        self._hold(shown)
        return b""

    def _hold(self, shown: bytes) -> None:
        self._size += len(shown)
        if self._size > MOST_WHOLE:
            self._held.clear()
            self._error = TOO_LONG
        else:
            self._held.append(shown)

    def finish(self) -> bytes:
        self._hold(self.inner.finish())
        body, self._held = b"".join(self._held), []
        if self.error is not None or not self.inner.ended:
            return b""
        if body.count(b"{") > MOST_OBJECTS and sum(1 for _ in _OBJECT.finditer(body)) > MOST_OBJECTS:
            self._error = TOO_LONG
            return b""
        translated = self._translation.whole(body)
        if isinstance(translated, ProviderError):
            self._error = translated
            return b""
        self._whole = True
        return translated

    @property
    def events(self) -> int:
        return 0

    @property
    def sse(self) -> bool:
        return False

    @property
    def at_boundary(self) -> bool:
        return False

    @property
    def ended(self) -> bool:
        return self.inner.ended and self._whole

    @property
    def error(self) -> ProviderError | None:
        return self.inner.error or self._error
