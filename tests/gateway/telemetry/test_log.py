"""The log can't hold content: fields and values outside the closed lists raise, and do not pass the type checker."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from gateway.telemetry.log import FIELDS, Event, Log, NoRecord
from metering.usage import Outcome
from providers.dialect import Operation

RID = "req_" + "0a" * 16


@pytest.fixture
def log(tmp_path):
    log = Log("info", tmp_path / "log")
    log.close_over(["openai"])
    log.lines = lambda: [json.loads(line) for line in (tmp_path / "log").read_text().splitlines()]
    return log


def test_a_line(log):
    log.request(rid=RID, provider="openai", status=200, operation=Operation.OPENAI_CHAT, outcome=Outcome.COMPLETED)
    [line] = log.lines()
    assert line["event"] == "request"
    assert (line["rid"], line["provider"], line["status"]) == (RID, "openai", 200)
    assert (line["operation"], line["outcome"]) == ("openai.chat", "completed")


@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": 1},
        {"pid": 1},
        {"error": 1, "rid": "x"},
        {"model": "a client's text"},
        {"rid": "a client's text"},
        {"rid": RID + "\n"},
        {"rid": 7.0, "provider": b"openai"},
        {"count": ["x"]},
    ],
)
@pytest.mark.parametrize("level", ["info", "warning", "error"])
def test_what_is_not_closed_raises(log, fields, level):
    with pytest.raises(TypeError) as caught:
        getattr(log, level)(Event.REQUEST, **fields)
    assert "client" not in str(caught.value)
    assert log.lines() == []


def test_there_is_no_field_for_an_account_a_session_a_process_or_an_address():
    assert not FIELDS & {"pid", "sid", "user", "account", "session", "ip", "address", "message", "path"}


CALLS = """
from gateway.names import Closed, Rid
from gateway.telemetry.log import Event, Log
from providers.dialect import Operation

def calls(log: Log, text: str, model: Closed, rid: Rid) -> None:
    log.request(rid=rid, model=model, operation=Operation.OPENAI_CHAT, status=200)
    {}
"""
REFUSED = [
    "log.request(model=text)",
    "log.request(rid=text)",
    "log.request(status=text)",
    "log.request(operation=text)",
    "log.info(text)",
    "log.info(Event.REQUEST, prompt=text)",
    "log.info(Event.REQUEST, prompt=1)",
    "log.failure(Event.CRASHED, ValueError(text), error=text)",
]


def test_the_type_checker_refuses_text(tmp_path):
    for index, call in enumerate(["pass", *REFUSED]):
        (tmp_path / f"call_{index}.py").write_text(CALLS.format(call))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", *map(str, sorted(tmp_path.glob("call_*.py")))],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={"MYPYPATH": ".", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    refused = {line.split(":")[0].rsplit("/", 1)[1] for line in done.stdout.splitlines() if ": error:" in line}
    assert refused == {f"call_{index}.py" for index in range(1, len(REFUSED) + 1)}, done.stdout


def test_an_exception_is_its_types_name(log):
    secret = "the prompt"
    log.failure(Event.HANDLER_FAILED, ValueError(secret), rid=RID)
    log.warned(UserWarning)
    failed, warned = log.lines()
    assert (failed["error"], failed["rid"]) == ("ValueError", RID)
    assert secret not in json.dumps(failed)
    assert (warned["event"], warned["error"]) == ("warned", "UserWarning")


def test_the_place_is_the_innermost_of_our_own(log):
    from gateway.inference.content import Content

    content = Content(b"x")
    content.drop()
    try:
        content.reveal()
    except ValueError as error:
        log.failure(Event.HANDLER_FAILED, error)
    [line] = log.lines()
    assert line["where"].startswith("gateway.inference.content:")


def test_the_level_filters(tmp_path):
    log = Log("error", tmp_path / "log")
    log.info(Event.STARTED)
    log.warning(Event.STARTED)
    log.error(Event.STOPPED, outcome=NoRecord.PROVIDER_ERROR)
    assert (tmp_path / "log").read_text().count("\n") == 1


FULL = """
import resource
from gateway.telemetry import quiet
from gateway.config import ConfigError
from gateway.telemetry.log import Event, Log
log = Log()
log.info(Event.STARTED, count=1)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
log.info(Event.STARTED, count=2)
quiet.tell(ConfigError(("nobody reads this",)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
log.info(Event.STARTED, count=3)
"""


def test_standard_error_on_a_full_disk_loses_lines_and_fails_nothing(tmp_path):
    with (tmp_path / "log").open("wb") as file:
        done = subprocess.run([sys.executable, "-c", FULL], stderr=file, check=False)
    assert done.returncode == 0
    lines = (tmp_path / "log").read_text().splitlines()
    assert [json.loads(line)["count"] for line in lines if line.startswith("{")] == [1, 3]
