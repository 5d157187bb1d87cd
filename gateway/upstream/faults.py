"""How an exchange with a provider can end badly, as a closed list."""

from __future__ import annotations

from enum import Enum


class Fault(Enum):
    """Why an exchange with a provider ended badly."""

    CONNECT = "connect"
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"
    CLOSED = "closed"  # ended by the provider before or inside the answer
    PROTOCOL = "protocol"  # not HTTP, or over a bound
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    POOL_FULL = "pool_full"
    STOPPED = "stopped"  # by the gateway itself
    INTERNAL = "internal"  # a fault of ours in dealing with the answer


class UpstreamFault(Exception):
    """An exchange with a provider failed. Carries a closed reason and no text of the peer."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.value)
        self.fault = fault
