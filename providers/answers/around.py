"""A `Scanner` that wraps another one, and delegates to it what it does not change."""

from __future__ import annotations

from collections.abc import Callable

from metering.usage import Report
from providers.dialect import ProviderError, Redact, Scanner


class Around:
    """Base of scanners that wrap another one. A subclass defines what happens to the bytes: `feed`, `glance`, `finish`.

    Attributes:
        inner: The wrapped scanner.
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
    def readable(self) -> bool:
        return self.inner.readable

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

    def at_output(self, tokens: int, call: Callable[[], None]) -> None:
        self.inner.at_output(tokens, call)

    def redact_errors(self, redact: Redact) -> None:
        self.inner.redact_errors(redact)


class Thorough(Around):
    """Base of those that take every byte in `feed`, since they may pass on others, or nothing."""

    __slots__ = ()

    def glance(self, framed: bytes, size: int) -> bool:  # noqa: ARG002 - the protocol's signature
        """Never."""
        return False
