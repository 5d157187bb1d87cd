"""Why a request to an engine failed, and the caller's error."""

from __future__ import annotations

from enum import StrEnum

from gateway.errors import GatewayError, ProviderUnavailable, UpstreamError, UpstreamTimeout


class EngineFault(StrEnum):
    CONNECT = "connect"
    CLOSED = "closed"  # ended by the engine before or inside the answer
    PROTOCOL = "protocol"  # not HTTP, or over a bound
    TIMEOUT = "timeout"
    REDIRECT = "redirect"
    FOREIGN = "foreign"  # the address or the peer is not of this machine


class EngineError(Exception):
    """Carries a closed reason and no text of the peer."""

    def __init__(self, fault: EngineFault) -> None:
        super().__init__(fault.value)
        self.fault = fault


NO_ENGINE = (
    "No engine answers on this machine. Start Ollama, llama.cpp, LM Studio or vLLM, or name its address with --engine."
)
_MESSAGES = {
    EngineFault.CONNECT: "The engine of this model does not answer. Start it again; the broker asks no other engine.",
    EngineFault.CLOSED: "The engine closed the connection before its answer was complete.",
    EngineFault.PROTOCOL: "The engine's answer is not valid HTTP, or is too large for the broker.",
    EngineFault.REDIRECT: "The engine answered with a redirect. Local mode does not follow or forward redirects.",
    EngineFault.FOREIGN: "The engine's address is not on this machine. Local mode connects only to loopback.",
}


def error_of(fault: EngineFault) -> GatewayError:
    """The answer for a fault."""
    if fault is EngineFault.TIMEOUT:
        return UpstreamTimeout("The engine did not answer in time.")
    if fault is EngineFault.CONNECT:
        return ProviderUnavailable(_MESSAGES[fault])
    return UpstreamError(_MESSAGES[fault])
