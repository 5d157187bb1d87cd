"""The log can't hold content: fields and values outside the closed lists raise."""

import json

import pytest

from gateway.log import Event, Log


@pytest.fixture
def log(tmp_path):
    log = Log("info", tmp_path / "log")
    log.close_over(["openai"])
    log.lines = lambda: [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    return log


def test_a_line(log):
    log.request(rid="req_1", provider="openai", status=200, first_byte_ms=3)
    [line] = log.lines()
    assert line["event"] == "request"
    assert (line["rid"], line["provider"], line["status"]) == ("req_1", "openai", 200)


@pytest.mark.parametrize(
    "fields", [{"prompt": 1}, {"model": "a client's text"}, {"provider": b"openai"}, {"count": ["x"]}]
)
@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_what_is_not_closed_raises(log, fields, level):
    with pytest.raises(TypeError) as caught:
        getattr(log, level)(Event.REQUEST, **fields)
    assert "client" not in str(caught.value)
    assert log.lines() == []


def test_an_exception_is_its_types_name(log):
    secret = "the prompt"
    log.failure(Event.HANDLER_FAILED, ValueError(secret), rid="req_1")
    [line] = log.lines()
    assert (line["error"], line["rid"]) == ("ValueError", "req_1")
    assert secret not in json.dumps(line)


def test_the_level_filters(tmp_path):
    log = Log("error", tmp_path / "log")
    log.info(Event.STARTED)
    log.warning(Event.STARTED)
    log.error(Event.STOPPED)
    assert (tmp_path / "log").read_text().count("\n") == 1
