"""How a host takes a request of an API and gives its answer: the differences from the API's own maker.

Rules:

1. A host speaks a known dialect. Path, query, headers and a few top-level members may differ, and so may the framing of
   a stream; the content of a request and of an answer's events does not.
2. Everything here is a value or a pure function, made once per process. What depends on a key or on a token is
   authentication, which `gateway.upstream` adds.
3. An error has the dialect's form before anything judges it or passes it on.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol, TypeAlias

from providers.dialect import Operation, Scanner, Wire
from providers.steps import Steps

Headers: TypeAlias = list[tuple[bytes, bytes]]
Unframe: TypeAlias = Callable[[Scanner], Scanner]


class Shape(NamedTuple):
    """What a request to one host looks like, apart from its authentication.

    Attributes:
        path: As at the API's own maker: it begins with the version, if the API has one.
        query: With its question mark, or empty.
        headers: In the order in which they are sent.
        without: Top-level members that the host does not take; its path states them.
        members: Top-level members that it requires, as JSON.
        wrap: Makes the request's body of what the dialect would send; ``None`` if it is that.
    """

    path: str
    query: str
    headers: Headers
    without: tuple[str, ...] = ()
    members: tuple[tuple[str, bytes], ...] = ()
    wrap: Callable[[bytes], Steps[bytes]] | None = None


VERSION: Final = b"anthropic-version"
FIRST_VERSION: Final = b"2023-06-01"
"""The API's first version, which each cloud has under a name of its own."""


def dated_version(headers: Headers) -> bytes:
    """The version of Anthropic's API that a request asks for; empty if it is the first one, or none is stated.

    https://platform.claude.com/docs/en/api/versioning: a later one is named by its date in clouds too.
    """
    stated = next((value for name, value in headers if name == VERSION), FIRST_VERSION)
    return b"" if stated == FIRST_VERSION else stated


class HostError(NamedTuple):
    """A provider's error in the dialect's form, and the status that it means there."""

    status: int
    body: bytes


class Host(Protocol):
    """One host. An implementation is immutable, and compares by value."""

    def shape(self, wire: Wire, model: str, *, stream: bool, query: str, headers: Headers) -> Shape:
        """What a request looks like.

        Args:
            wire: The operation.
            model: The host's own name of the model.
            stream: The caller asked for a stream.
            query: What the client's query may add, without a question mark.
            headers: What the dialect sends, see `providers.headers.request_headers`.
        """
        ...

    def unframed(self, operation: Operation, headers: Headers) -> Unframe | None:
        """For a good answer whose form is not the dialect's: what shows it as the dialect's.

        ``headers`` are the answer's; the content type is replaced in them. ``None`` if nothing is to be done.
        """
        ...

    def error(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> HostError | None:
        """An error in the dialect's form; ``None`` if it has it already."""
        ...


@dataclass(frozen=True, slots=True)
class Direct:
    """The API at its maker's paths, or at another one for the operations of ``paths``."""

    paths: Mapping[Operation, str] = field(default_factory=dict)

    def shape(self, wire: Wire, model: str, *, stream: bool, query: str, headers: Headers) -> Shape:  # noqa: ARG002 - its path states both
        return Shape(self.paths.get(wire.operation) or wire.path(model), f"?{query}" if query else "", headers)

    def unframed(self, operation: Operation, headers: Headers) -> Unframe | None:  # noqa: ARG002 - the protocol's signature
        return None

    def error(self, status: int, headers: Iterable[tuple[bytes, bytes]], body: bytes) -> HostError | None:  # noqa: ARG002 - the protocol's signature
        return None


DIRECT: Final = Direct()
