"""The log for a person: sentences of this code and closed fields, never JSON and never a client's text."""

from __future__ import annotations

from http import HTTPMethod

import pytest

from gateway.api.routes import Part
from gateway.errors import NotFound
from gateway.names import Closed, new_rid
from gateway.telemetry.log import Event
from gateway.telemetry.readable import SENTENCES, ReadableLog
from providers.dialect import Operation
from providers.paths import NotServed, Surface

SECRET = "a prompt that nobody may read"
# What is said by the first screen, by the line of a request, or not at all.
QUIET = {
    *(Event.STARTED, Event.STOPPED, Event.WORKER_STARTED, Event.DRAINING, Event.DRAINED, Event.PRICES_CHANGED),
    *(Event.REQUEST, Event.REFUSED, Event.CERTIFICATE_RENEWED, Event.RELOADED, Event.SETTING_CHANGED),
    *(Event.RESTARTING, Event.RESTARTED),
}


def test_every_event_is_either_a_sentence_or_said_elsewhere() -> None:
    assert set(SENTENCES) == set(Event) - QUIET
    assert [text for text in SENTENCES.values() if not text.endswith(".")] == []


@pytest.mark.parametrize("event", SENTENCES)
def test_a_warning_an_error_and_a_failure_are_sentences(event: Event, capsys: pytest.CaptureFixture[str]) -> None:
    log = ReadableLog()
    log.warning(event, count=3)
    log.error(event, rid=new_rid())
    log.failure(event, ValueError(SECRET))
    said = capsys.readouterr()
    assert said.out == ""
    assert len(said.err.splitlines()) == 3
    assert all(SENTENCES[event] in line for line in said.err.splitlines())
    assert "{" not in said.err
    assert SECRET not in said.err
    assert "error ValueError" in said.err


def test_a_client_s_text_is_refused_as_in_the_other_log() -> None:
    with pytest.raises(TypeError):
        ReadableLog().warning(Event.STORE_AWAY, model=SECRET)  # type: ignore[typeddict-item]


def test_what_is_said_elsewhere_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    ReadableLog().info(Event.STARTED, port=1)
    ReadableLog().warned(DeprecationWarning)
    assert capsys.readouterr().err == f"warning: {SENTENCES[Event.WARNED]} (error DeprecationWarning)\n"


@pytest.mark.parametrize("asked", [Operation.OPENAI_CHAT, *Surface, *NotServed, *Part])
def test_a_refusal_is_a_line_of_plain_words(asked: Operation | Surface | NotServed | Part, capsys) -> None:
    rid = new_rid()
    log = ReadableLog()
    code = Closed(NotFound.code)
    log.close_over([code])
    if isinstance(asked, Operation):
        log.refused(rid=rid, status=404, code=code, method=HTTPMethod.GET, operation=asked)
    else:
        log.refused(rid=rid, status=404, code=code, method=HTTPMethod.GET, surface=asked)
    words = "openai.chat" if isinstance(asked, Operation) else asked.value.replace("_", " ")
    assert capsys.readouterr().out == f"refused: 404 not_found  GET {words}  {rid}\n"


def test_a_refusal_of_a_strange_method_does_not_show_it(capsys) -> None:
    log = ReadableLog()
    log.refused(rid=new_rid(), status=404, code=Closed(NotFound.code), surface=NotServed.UNKNOWN)
    assert "  unknown path, by a method that is none of HTTP's  req_" in capsys.readouterr().out
