"""How an answer ended: the one table, over every combination of what the scanner and the transport say."""

from itertools import product

import pytest

from gateway.inference.answer import Answer, Ending, ending_of
from gateway.upstream.faults import Fault
from metering.usage import Outcome
from providers.dialect import ProviderError

ERROR = ProviderError(529, b"{}")
GOOD = {"status": 200, "over": True, "fault": None, "ended": True, "begun": True, "error": None}


@pytest.mark.parametrize(
    ("facts", "expected"),
    [
        ({}, Ending.WHOLE),
        ({"status": 0, "fault": Fault.CLOSED, "ended": False, "begun": False}, Ending.NOTHING),
        ({"status": 0, "over": False, "ended": False, "begun": False}, Ending.STOPPED),  # the client left first
        ({"status": 503}, Ending.REFUSED),
        ({"status": 302}, Ending.REFUSED),
        ({"status": 429, "fault": Fault.CLOSED}, Ending.REFUSED),  # cut inside the refusal
        ({"status": 400, "over": False}, Ending.REFUSED),  # the client left inside it
        ({"ended": False, "begun": False}, Ending.FAILED),  # an empty stream, HTML, a lone [DONE]
        ({"ended": False, "begun": False, "fault": Fault.CLOSED}, Ending.FAILED),
        ({"ended": False, "begun": False, "error": ERROR}, Ending.FAILED),
        ({"ended": False, "begun": False, "error": ERROR, "over": False}, Ending.FAILED),
        ({"ended": False}, Ending.BROKEN),  # HTTP ended well, the dialect did not
        ({"ended": False, "fault": Fault.CLOSED}, Ending.BROKEN),
        ({"ended": False, "fault": Fault.IDLE_TIMEOUT}, Ending.BROKEN),
        ({"ended": False, "error": ERROR}, Ending.BROKEN),
        ({"error": ERROR}, Ending.BROKEN),  # an error after the end is not a whole answer
        ({"ended": False, "over": False}, Ending.STOPPED),
        ({"ended": False, "over": False, "begun": False}, Ending.STOPPED),
        ({"ended": False, "fault": Fault.STOPPED}, Ending.STOPPED),
        ({"over": False}, Ending.WHOLE),  # the client closed after everything had come
        ({"fault": Fault.STOPPED}, Ending.WHOLE),
        ({"fault": Fault.CLOSED}, Ending.WHOLE),  # cut behind the dialect's end
    ],
)
def test_the_table(facts, expected):
    assert ending_of(**{**GOOD, **facts}) is expected


FACTS = list(
    product(
        (0, 200, 206, 302, 404, 500),
        (True, False),
        (None, *Fault),
        (True, False),
        (True, False),
        (None, ERROR),
    )
)


def test_the_rules_hold_for_every_combination():
    for status, over, fault, ended, begun, error in FACTS:
        found = ending_of(status=status, over=over, fault=fault, ended=ended, begun=begun, error=error)
        good = 200 <= status < 300
        if found is Ending.WHOLE:
            assert good
            assert ended
            assert error is None
        if found is Ending.BROKEN:
            assert begun
        if found in {Ending.FAILED, Ending.BROKEN}:
            assert good
        if error is not None:  # a client that leaves does not pay for what had failed
            assert found in (
                {Ending.FAILED, Ending.BROKEN} if good else {Ending.NOTHING, Ending.REFUSED, Ending.STOPPED}
            )
        if not good and status:
            assert found is Ending.REFUSED


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (Answer(Ending.WHOLE, 200), Outcome.COMPLETED),
        (Answer(Ending.WHOLE, 200, Fault.STOPPED), Outcome.COMPLETED),
        (Answer(Ending.STOPPED, 200), Outcome.REVOKED),
        (Answer(Ending.BROKEN, 200), Outcome.UPSTREAM_CUT),
        (Answer(Ending.BROKEN, 200, Fault.CLOSED), Outcome.UPSTREAM_CUT),
        (Answer(Ending.BROKEN, 200, Fault.IDLE_TIMEOUT), Outcome.UPSTREAM_TIMEOUT),
        (Answer(Ending.BROKEN, 200, error=ERROR), Outcome.UPSTREAM_ERROR),
    ],
)
def test_what_a_record_says(answer, outcome):
    assert answer.outcome(Outcome.REVOKED) is outcome
