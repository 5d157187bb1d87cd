"""A `Scanner` around another: what it does not change, the other one tells."""

from __future__ import annotations

from metering.usage import Report
from providers.dialect import ProviderError, Redact, Scanner


class Around:
    """What scanners around others share. A subclass says what becomes of the bytes: `feed`, `glance`, `finish`.

    Attributes:
        inner: The scanner inside.
    """

    __slots__ = ("inner",)

    def __init__(self, inner: Scanner) -> None:
        self.inner = inner

    @property
    def size(self) -> int:
        return self.inner.size

    @property
    def events(self) -> int:
        return self.inner.events

    @property
    def sse(self) -> bool:
        return self.inner.sse

    @property
    def begun(self) -> bool:
        return self.inner.begun

    @property
    def ended(self) -> bool:
        return self.inner.ended

    @property
    def error(self) -> ProviderError | None:
        return self.inner.error

    @property
    def at_boundary(self) -> bool:
        return self.inner.at_boundary

    def report(self) -> Report:
        return self.inner.report()

    def estimated_output(self) -> int:
        return self.inner.estimated_output()

    def redact_errors(self, redact: Redact) -> None:
        self.inner.redact_errors(redact)
