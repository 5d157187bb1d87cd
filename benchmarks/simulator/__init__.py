"""A model provider on loopback that speaks the OpenAI, Anthropic and Google wire formats.

It is the traffic source of the benchmarks, the other side of the tests, and what ``make run`` routes
to when no provider key is there. What it says is made up; how it says it (headers, framing, event
order, usage, errors) follows recordings of the real ones.

- In a test: ``async with Simulator.start() as sim`` or ``with SimulatorProcess() as sim``.
- As a program: ``python -m benchmarks.simulator --port 0`` (``--help`` lists the faults).
- Per request: controls behind the first ``+`` of the model name, see `controls`.
"""

from benchmarks.simulator.content import MARK, THOUGHT, TRIGGER
from benchmarks.simulator.controls import FAULTS, Controls
from benchmarks.simulator.ledger import Bill, Recorded, Stats
from benchmarks.simulator.process import SimulatorProcess
from benchmarks.simulator.server import Simulator
from benchmarks.simulator.tls import Certificates, make_certificates

__all__ = [
    "FAULTS",
    "MARK",
    "THOUGHT",
    "TRIGGER",
    "Bill",
    "Certificates",
    "Controls",
    "Recorded",
    "Simulator",
    "SimulatorProcess",
    "Stats",
    "make_certificates",
]
