"""Why an exchange with an engine failed, and what the caller is told."""

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
    EngineFault.CONNECT: "The engine of this model does not answer any more. Start it again; no other one is asked.",
    EngineFault.CLOSED: "The engine ended the connection before its answer was complete.",
    EngineFault.PROTOCOL: "The engine's answer is not valid HTTP, or is larger than the broker takes.",
    EngineFault.REDIRECT: "The engine answered with a redirect. Local mode follows none and passes none on.",
    EngineFault.FOREIGN: "The engine's address is not of this machine. Local mode connects to loopback alone.",
}


def error_of(fault: EngineFault) -> GatewayError:
    """The answer for a fault."""
    if fault is EngineFault.TIMEOUT:
        return UpstreamTimeout("The engine did not answer in time.")
    if fault is EngineFault.CONNECT:
        return ProviderUnavailable(_MESSAGES[fault])
    return UpstreamError(_MESSAGES[fault])
