"""Every way in which a stream of every form can end, with every end of its transport: the answer and what is settled.

The table is `expected`: written down here, and not computed as the gateway computes it.
"""

from __future__ import annotations

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.inference.accounting import settlement
from gateway.inference.answer import Answer, Ending, ending_of
from gateway.inference.estimate import Expected
from gateway.upstream.faults import Fault
from metering.usage import Basis, Outcome
from providers.dialect import Head
from providers.wires import WIRES
from tests.providers.answers import endings as made
from tests.strategies import cut_up

PROBABLE = Expected(uncached=400)
LEFT = Outcome.CLIENT_ABORT


class Transport(NamedTuple):
    """How HTTP ended: well, by a fault, or not at all (the client left, or the gateway stopped it)."""

    over: bool
    fault: Fault | None

    @property
    def stopped(self) -> bool:
        return not self.over or self.fault is Fault.STOPPED


TRANSPORTS = (
    Transport(over=True, fault=None),
    Transport(over=True, fault=Fault.CLOSED),
    Transport(over=True, fault=Fault.IDLE_TIMEOUT),
    Transport(over=True, fault=Fault.STOPPED),
    Transport(over=False, fault=None),
)


def expected(stream: made.Ending, transport: Transport) -> tuple[Ending, Outcome | None, Basis | None]:
    """How the answer ended, what its record says, and on what it rests; no record where nothing is owed."""
    late = transport.fault is Fault.IDLE_TIMEOUT
    match (stream.status is not None, stream.begun, stream.ended, transport.stopped):
        case (True, False, _, _):
            return Ending.FAILED, None, None
        case (True, True, _, _):
            return Ending.BROKEN, Outcome.UPSTREAM_TIMEOUT if late else Outcome.UPSTREAM_ERROR, Basis.PARTIAL
        case (False, _, True, _):
            return Ending.WHOLE, Outcome.COMPLETED, Basis.REPORTED
        case (False, _, False, True):
            return Ending.STOPPED, LEFT, Basis.PARTIAL
        case (False, True, False, False):
            return Ending.BROKEN, Outcome.UPSTREAM_TIMEOUT if late else Outcome.UPSTREAM_CUT, Basis.PARTIAL
        case _:
            return Ending.FAILED, None, None


@pytest.mark.parametrize("form", made.FORMS, ids=repr)
@settings(max_examples=60)
@given(st.data())
def test_each_ending_is_one_answer_and_one_settlement(form: made.Form, data: st.DataObject):
    stream = data.draw(made.endings(form))
    transport = data.draw(st.sampled_from(TRANSPORTS))
    _, pieces = data.draw(cut_up(st.just(stream.body)))
    scanner = WIRES[form.operation].scanner(Head(model="m", stream=True), sse=form.sse)
    for piece in pieces:
        scanner.feed(piece)
    if transport == TRANSPORTS[0]:
        scanner.finish()
    answer = Answer(
        ending_of(
            status=200,
            over=transport.over,
            fault=transport.fault,
            ended=scanner.ended,
            begun=scanner.begun,
            error=scanner.error,
        ),
        200,
        transport.fault,
        written=True,
        begun=scanner.begun,
        report=scanner.report(),
        output=scanner.estimated_output(),
        error=scanner.error,
    )
    ending, outcome, basis = expected(stream, transport)
    assert answer.ending is ending
    settled = settlement(answer, expected=PROBABLE)
    if basis is None:
        assert settled is None
        return
    assert answer.outcome(LEFT) is outcome
    assert settled.basis is basis
    stated = answer.report.usage is not None and answer.report.usage.in_uncached is not None
    assert settled.usage.in_uncached == (1007 if stated else 400)
    if stream.stated:
        assert (settled.usage.in_uncached, settled.usage.out_visible) == (1007, 203)
    elif not stream.begun:
        assert settled.usage.output_tokens == 0
