"""The situations of a first day: each runs one agent and judges what a person would see, the records, and what left."""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any, Final

from benchmarks.simulator.content import SAYING, TRIGGER
from tests.agents.bench import LONGEST, PRIVATE, Bench, Run, written
from tests.agents.table import MODELS, NEW_FILE, Agent
from tests.gateway_process import run_cli
from tests.local_process import BrokerProcess, ScriptedEngine, chat_engine

SAID: Final = "a-clear-answer"
SENTENCES: Final = ("Not enough credits", "was revoked", "has expired")
"""Of the gateway's messages: an agent that shows one shows what to do, too."""
FILED: Final = "the-agent-wrote-this"
_HEADERS: Final = frozenset(
    (
        *("host", "content-type", "content-length", "accept", "accept-encoding", "user-agent", "connection"),
        *("authorization", "x-api-key", "x-goog-api-key", "anthropic-version", "anthropic-beta", "openai-beta"),
    )
)
"""What may stand in a request to a provider: its key and what decides about the answer's form."""
_CONVERSATION: Final = frozenset(
    (
        *("messages", "system", "input", "instructions", "contents", "systemInstruction", "system_instruction"),
        *("tools", "prompt_cache_key", "safety_identifier", "include"),
    )
)
"""Members that hold what the user wants sent, or what became a pseudonym."""
_IDENTIFIER: Final = re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b|\b[0-9a-f]{32,64}\b")


@dataclass(frozen=True)
class Verdict:
    """``shown`` is what a person is told, in one line; ``fault`` what went wrong, empty where it works."""

    fault: str
    shown: str = ""


@dataclass(frozen=True)
class Situation:
    title: str
    judge: Callable[[Bench, Agent], Verdict]


def _line(run: Run, words: str) -> str:
    """The first line of the output with one of the words, short."""
    found = re.search(rf"(?im)^.*(?:{words}).*$", run.output)
    return "" if found is None else found[0].strip()[:300]


def _ended(run: Run, *, well: bool) -> str:
    if run.code is None:
        return f"it had not ended after {run.seconds:.0f} s"
    if well and run.code != 0:
        return f"exit code {run.code}: {run.output.strip()[-200:]}"
    return ""


def _user(agent: Agent, situation: str) -> str:
    return f"{agent.name}-{situation}"


def _token(bench: Bench, user: str, credits_: int = 1000, **options: str) -> str:
    return str(bench.gateway.session(user, credits_, **options)["access_token"])


def turn(bench: Bench, agent: Agent) -> Verdict:
    """The key, the list of models and one answer."""
    user = _user(agent, "turn")
    token = _token(bench, user)
    if missing := _list(bench, agent, token):
        return Verdict(missing)
    run = bench.ask(agent, f"Please {SAYING} {written(SAID)} now.", token)
    fault = _ended(run, well=True) or ("" if SAID in run.output else f"the answer is not shown: {run.output[-200:]}")
    return Verdict(fault or _records(bench, user) or _private(bench, token))


def _list(bench: Bench, agent: Agent, token: str) -> str:
    path = "/v1beta/models?pageSize=1000" if agent.api == "google" else "/v1/models?limit=1000"
    headers = {
        "anthropic": {"anthropic-version": "2023-06-01", "x-api-key": token},
        "google": {"x-goog-api-key": token},
        "openai": {"authorization": f"Bearer {token}"},
    }
    request = urllib.request.Request(bench.gateway.url + path, headers=headers[agent.api])
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            listed = answer.read().decode()
    except urllib.error.HTTPError as error:
        return f"the list of models: {error.code}"
    return "" if f'"{agent.model}"' in listed else "the list of models has not the model"


def tool(bench: Bench, agent: Agent) -> Verdict:
    """An agent's loop: the model calls the tool that writes a file, the agent runs it and goes on."""
    user = _user(agent, "tool")
    token = _token(bench, user)
    target = bench.project / NEW_FILE
    if agent.writes is None:
        prompt = f"Please {SAYING} {written(agent.reply.format(text=FILED))} now."
    else:
        name, given = agent.writes
        arguments = {key: _filled(value, str(target)) for key, value in given.items()}
        prompt = f"Please {TRIGGER} {name} {json.dumps(arguments)} now."
    run = bench.ask(agent, prompt, token)
    fault = _ended(run, well=True)
    if not fault and (not target.exists() or target.read_text().strip() != FILED):
        fault = f"the file was not written: {run.output.strip()[-300:]}"
    return Verdict(fault or _records(bench, user, 1 if agent.writes is None else 2) or _private(bench, token))


def others(bench: Bench, agent: Agent) -> Verdict:
    """The same loop with the models of the other companies, whose APIs the agent does not speak."""
    for api, model in MODELS.items():
        if api != agent.api:
            bench.fresh()
            verdict = tool(bench, replace(agent, chosen=model, writes=agent.others_write or agent.writes))
            if verdict.fault:
                return Verdict(f"{model}: {verdict.fault}", verdict.shown)
    return Verdict("")


def _filled(value: object, path: str) -> object:
    if isinstance(value, list):
        return [_filled(item, path) for item in value]
    return value.format(path=path, text=FILED) if isinstance(value, str) else value


def abort(bench: Bench, agent: Agent) -> Verdict:
    """Ctrl-C in the middle of an answer."""
    user = _user(agent, "abort")
    token = _token(bench, user)
    bench.sim.set_defaults(chunks=2000, pace=100)
    with bench.started(agent, "Tell a long story.", token) as process:
        if not bench.until(lambda: bench.sim.stats()["active"] > 0, LONGEST):
            return Verdict(f"no answer began: {process.output()[-200:]}")
        bench.until(lambda: process.process.poll() is not None, 3)  # a third of a hundred events
        for _ in range(3):  # some ask for a second one
            process.interrupt()
            if bench.until(lambda: process.process.poll() is not None or bench.sim.stats()["active"] == 0, 20):
                break
        if not bench.until(lambda: bench.sim.stats()["active"] == 0, 60):  # a third of the answer
            return Verdict("the provider goes on answering")
        ended = bench.until(lambda: process.process.poll() is not None, 10)
    found = bench.records(user, 1)
    if not found:
        return Verdict("no record")
    return Verdict(_private(bench, token), "" if ended else "stops the answer, and waits")


def _refused(said: str, words: str, *, make: Callable[[Bench, str], str]) -> Callable[[Bench, Agent], Verdict]:
    def judge(bench: Bench, agent: Agent) -> Verdict:
        user = _user(agent, words.partition("|")[0].replace(" ", "-"))
        run = bench.ask(agent, f"Please {SAYING} {written(SAID)} now.", make(bench, user))
        shown = _line(run, said) or _line(run, words)
        fault = _ended(run, well=False) or ("" if shown else f"nothing is said: {run.output.strip()[-300:]}")
        if not fault and bench.sim.stats()["requests"]:
            fault = "the provider was called"
        return Verdict(fault, shown)

    return judge


def _poor(bench: Bench, user: str) -> str:
    return _token(bench, user, 0)


def _revoked(bench: Bench, user: str) -> str:
    token = _token(bench, user)
    run_cli("sessions", "revoke", "--user", user, config=bench.gateway.config)
    bench.until(lambda: _status(bench, token) == 401)
    return token


def _expired(bench: Bench, user: str) -> str:
    token = _token(bench, user, **{"expires-in": "1s"})
    bench.until(lambda: _status(bench, token) == 401)
    return token


def _status(bench: Bench, token: str) -> int:
    headers = {"authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{bench.gateway.url}/v1/models", headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        return error.code


def rate(bench: Bench, agent: Agent) -> Verdict:
    """The account's requests of this minute are used up: the agent waits as it is told and goes on."""
    user = _user(agent, "rate")
    token = _token(bench, user, tier="rated")
    body = json.dumps({"model": MODELS["openai"], "messages": [{"role": "user", "content": "x"}]}).encode()
    headers = {"authorization": f"Bearer {token}", "content-type": "application/json"}
    for _ in range(20):
        request = urllib.request.Request(f"{bench.gateway.url}/v1/chat/completions", body, headers)
        try:
            urllib.request.urlopen(request, timeout=30).close()
        except urllib.error.HTTPError:
            break
    run = bench.ask(agent, f"Please {SAYING} {written(SAID)} now.", token)
    if run.code == 0 and SAID in run.output:
        return Verdict("", f"waits and goes on ({run.seconds:.0f} s)")
    shown = _line(run, "too many|rate.?limit|429")
    return Verdict(_ended(run, well=False) or ("" if shown else "nothing is said"), shown)


def outage(bench: Bench, agent: Agent) -> Verdict:
    """The provider fails twice and then answers."""
    user = _user(agent, "outage")
    token = _token(bench, user)
    bench.sim.set_defaults(fault="503", times=2)
    run = bench.ask(agent, f"Please {SAYING} {written(SAID)} now.", token)
    if run.code == 0 and SAID in run.output:
        return Verdict(_records(bench, user), "tries again and goes on")
    shown = _line(run, "503|unavailable|overload")
    return Verdict(_ended(run, well=False) or ("" if shown else f"nothing is said: {run.output[-300:]}"), shown)


def local(bench: Bench, agent: Agent) -> Verdict:
    """Local mode, with an engine that has Chat Completions only."""
    with (
        ScriptedEngine(chat_engine(agent.model)) as engine,
        BrokerProcess("--only-named", "--engine", engine.address) as broker,
    ):
        run = bench.ask(agent, "Say something.", "local", broker.url)
        asked = len(engine.asked("POST /v1/chat/completions"))
    fault = _ended(run, well=True) or ("" if "said here" in run.output else f"no answer: {run.output.strip()[-300:]}")
    if not fault and not asked:
        fault = "the engine was not asked"
    return Verdict(fault)


def _records(bench: Bench, user: str, least: int = 1) -> str:
    """What is wrong with the account's records, set against the provider's bills; empty where nothing is."""
    bills = sorted((bill["input"], bill["output"]) for bill in _billed(bench))
    found = bench.records(user, max(least, len(bills)))
    kept = sorted((_sum(record, _INPUTS), _sum(record, _OUTPUTS)) for record in found)
    return "" if kept == bills and len(bills) >= least else f"records {kept}, bills {bills}"


_INPUTS: Final = (
    *("in_uncached", "cache_read", "cache_write_5m", "cache_write_1h", "cache_write_other"),
    *("tool_in", "audio_in", "image_in"),
)
_OUTPUTS: Final = ("out_visible", "out_reasoning", "audio_out", "image_out")


_UNBILLED: Final = ("models", "countTokens", "/count_tokens", "/input_tokens")


def _sum(record: dict[str, Any], names: tuple[str, ...]) -> int:
    return sum(record.get(name) or 0 for name in names)


def _billed(bench: Bench) -> Iterator[dict[str, Any]]:
    for bill in bench.sim.bills():
        if bill["status"] == 200 and not bill["operation"].endswith(_UNBILLED):
            yield bill


def _private(bench: Bench, token: str) -> str:
    """What reached the provider and should not have; empty where nothing did."""
    kept = {
        found
        for path in bench.home.rglob("*")
        if path.is_file() and path.stat().st_size < 1_000_000
        for found in _IDENTIFIER.findall(path.read_bytes().decode(errors="replace"))
    }
    for request in bench.sim.requests():
        body = request["body"]
        head = " ".join(f"{name}: {value}" for name, value in request["headers"])
        if token in head or token in body or token in request["target"]:
            return "the session's token reached the provider"
        unknown = {name.lower() for name, _ in request["headers"]} - _HEADERS
        if unknown:
            return f"header {', '.join(sorted(unknown))}"
        members = json.loads(body) if body else {}
        rest = json.dumps({name: value for name, value in members.items() if name not in _CONVERSATION}) + head
        if PRIVATE in rest or str(bench.home) in rest or str(bench.project) in rest:
            return "a path or a name reached the provider beside the conversation"
        if told := [found for found in kept if found in rest]:
            return f"{len(told)} identifiers of the installation reached the provider"
    return ""


SITUATIONS: Final = {
    "turn": Situation("first turn", turn),
    "tool": Situation("writes a file", tool),
    "others": Situation("with other companies' models", others),
    "abort": Situation("Ctrl-C", abort),
    "credit": Situation("out of credit", _refused(SENTENCES[0], "credit|402", make=_poor)),
    "revoked": Situation("token revoked", _refused(SENTENCES[1], "revoked|401|sign in", make=_revoked)),
    "expired": Situation("token expired", _refused(SENTENCES[2], "expired|401|sign in", make=_expired)),
    "rate": Situation("rate limit", rate),
    "outage": Situation("provider outage", outage),
    "local": Situation("local mode", local),
}
