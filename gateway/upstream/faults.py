"""How an exchange with a provider can end badly, as a closed list."""

from __future__ import annotations

from enum import Enum, StrEnum


class Fault(Enum):
    """Why an exchange with a provider ended badly."""

    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    CLOSED = "closed"  # ended by the provider before or inside the answer
    PROTOCOL = "protocol"  # not HTTP, or over a bound
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    DEADLINE = "deadline"  # no answer in the time of all attempts: the caller's, or the configured one
    POOL_FULL = "pool_full"
    CREDENTIALS = "credentials"  # no token is at hand: none was issued, or the last one has expired
    STOPPED = "stopped"  # by the gateway itself
    INTERNAL = "internal"  # a bug in the gateway, while handling the answer


class AttemptOutcome(StrEnum):
    """What became of one attempt at a provider, for metrics."""

    ANSWERED = "answered"  # its output began
    REFUSED = "refused"  # because of the request: a 4xx
    LIMITED = "limited"  # because of a rate limit
    KEY = "key"  # because of the operator's key or account
    NO_MODEL = "no_model"
    FAILED = "failed"  # with a 5xx, or inside a 2xx
    FAULT = "fault"  # no answer


class UpstreamFault(Exception):
    """An exchange with a provider failed. Carries a closed reason and no text of the peer."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault
