"""What can happen to a request, as a table. A feature extends the hunt by a row.

A scenario acts on a running gateway and leaves its markers wherever they went; what it is about must
have happened, so each asserts that. Scenarios of one setting share a gateway and one search.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import secrets
import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.crash.faults import Plan
from benchmarks.launch import injection
from metering.ledger.records import parse
from metering.spool import frames
from metering.usage import Basis, Outcome
from tests.integration.conftest import eventually
from tests.privacy.denied import by_broker, by_fault, by_feature, by_provider, by_switch, by_token
from tests.privacy.limited import SERVICES, SMALL, TIERS, by_limits, by_policy, by_service
from tests.privacy.people import device_login, portal, signed_in_by_supabase
from tests.privacy.registered import members
from tests.privacy.sinks import KEY_LOG
from tests.privacy.stage import Stage
from tests.privacy.traffic import KINDS, conversation, send
from tests.raw_http import request

DEBUG = {
    "PYTHONDEVMODE": "1",
    "PYTHONFAULTHANDLER": "1",
    "PYTHONWARNINGS": "always",
    "PYTHONASYNCIODEBUG": "1",
    "PYTHONTRACEMALLOC": "5",
}
SHORT = {"first_byte_timeout": 1, "idle_timeout": 1, "max_body_bytes": 100_000}


@dataclass(frozen=True)
class Setting:
    """How the gateway of some scenarios is made."""

    more: dict[str, Any] = field(default_factory=dict)
    workers: int = 1
    environment: dict[str, str] = field(default_factory=dict)
    injected: tuple[str, ...] = ()
    cores: bool = False
    tls: bool = False
    issuer: bool = False  # people sign in at a Supabase project


SETTINGS = {
    "usual": Setting({"server": SHORT}),
    "guarded": Setting(
        {"policy": {"secrets": "restore"}},
        workers=2,
        environment=DEBUG | {"SSLKEYLOGFILE": KEY_LOG},
        cores=True,
        tls=True,
    ),
    "faulty": Setting({"server": SHORT}, environment=DEBUG, injected=(injection(Path(__file__).parent / "faults.py"),)),
    "limited": Setting(
        {
            "tiers": TIERS,
            "internal": SERVICES,
            "server": {"max_body_bytes": SMALL, "max_inflight_body_bytes": 2 * SMALL},
        },
    ),
    "outage": Setting(injected=(Plan(lease_ms=3_000).injection,)),  # a lease is 60 s otherwise
    "people": Setting(),
    "register": Setting(),
    "supabase": Setting(issuer=True),
}


def dialects(stage: Stage) -> None:
    for kind in KINDS:
        for script in ("plain", "split", "gzip", "reset-mid", "cut-event", "unavailable", "refuse", "surplus"):
            for stream in (True, False):
                stage.ask(send(stage, kind, script, stream=stream))
        whole = stage.ask(
            send(stage, kind, name=f"{kind}, a whole conversation", more=conversation(stage, kind), stream=False)
        )
        assert whole is not None
        assert whole.status == 200, whole.body
        stage.ask(send(stage, kind, stage.canaries.plant("model", kind), name=f"{kind}, unknown model"))
        whole = send(stage, kind, name=f"{kind}, malformed JSON and UTF-8")
        stage.ask(whole.replace(b'{"', b'{,"', 1))
        stage.ask(whole.replace(stage.canaries.prefix.encode(), stage.canaries.prefix.encode() + b"\xff", 1))


def translations(stage: Stage) -> None:
    for kind, other in itertools.permutations(KINDS, 2):
        for script in ("plain", "reset-mid", "unavailable", "refuse"):
            for stream in (True, False):
                name = f"{kind} to {other}, {script}"
                data = send(stage, kind, script, stream=stream, name=name, more={"model": f"{other}-{script}"})
                found = stage.ask(data.replace(b"models/%b-" % kind.encode(), b"models/%b-" % other.encode(), 1))
                assert script != "plain" or (found is not None and found.status == 200), found
        more = conversation(stage, kind) | {"model": f"{other}-plain"}
        whole = send(stage, kind, name=f"{kind} to {other}, a whole conversation", more=more, stream=False)
        found = stage.ask(whole.replace(b"models/%b-" % kind.encode(), b"models/%b-" % other.encode(), 1))
        assert found is not None
        assert found.status == 200, found.body


def aborts(stage: Stage) -> None:
    for kind in KINDS:
        with stage.client() as client:
            client.send(send(stage, kind, "hang", name=f"{kind}, client leaves before the first byte"))
        with stage.client() as client:
            client.send(send(stage, kind, "paced", name=f"{kind}, client leaves in the stream")).head()
            client.chunk()


def refusals(stage: Stage) -> None:
    name = "refused before a provider is asked"
    plant, whole = stage.canaries.plant, lambda **more: send(stage, "openai", name=name, **more)
    for data in (
        whole(headers={"authorization": "Bearer " + plant("header: authorization", name)}),
        whole(headers={"x-privacy-mode": "local"}),
        whole(headers={"content-encoding": plant("header: content-encoding", name)}),
        whole(headers={"x-supersede-key": plant("header: x-supersede-key", name)}),
        whole(headers={"x-long": plant("header: x-long", name) + "y" * 70_000}),
        whole(text="y" * 200_000),
        whole(more={"web_search_options": {"user_location": plant("tool", name)}}),
        whole(more={"store": plant("store", name)}),
        send(stage, "anthropic", name=name, more={"thread": {"type": "create", "name": plant("id", name)}}),
        request("GET", "/v1/responses", headers=stage.auth | {"upgrade": "websocket", "connection": "upgrade"}),
        request("POST", "/v1/responses", _previous(stage, name), headers=stage.auth),
        request("GET", "/v1/" + plant("path", name), headers=stage.auth),
        request("PUT", "/v1/models", plant("body", name).encode(), headers=stage.auth),
        request("GET", "/v1/requests/" + plant("path", name), headers=stage.auth),
        request("GET", "/v1/models?key=" + plant("query", name)),
        f"NONSENSE {plant('path', name)}\r\n\r\n{plant('body', name)}".encode(),
    ):
        stage.ask(data)
    poor = stage.session("poor", 0)["access_token"]
    stage.ask(whole(headers={"authorization": f"Bearer {poor}"}))


def _previous(stage: Stage, name: str) -> bytes:
    plant = stage.canaries.plant
    body = {"model": "openai-plain", "input": plant("prompt", name), "previous_response_id": plant("id", name)}
    return json.dumps(body).encode()


def body_stalls(stage: Stage) -> None:
    """Of a gateway that waits for a shorter time than a minute (`faults`)."""
    with stage.client() as slow:
        slow.send(send(stage, "openai", name="a body that never ends")[:-5])
        stage.see(slow.answer())
    assert "request_timeout" in stage.answers


def time_outs(stage: Stage) -> None:
    for kind in KINDS:
        for script in ("hang", "hang-mid"):
            stage.ask(send(stage, kind, script, name=f"{kind}, provider times out ({script})"))
    assert "upstream_timeout" in stage.answers


def superseded(stage: Stage) -> None:
    lane = {"x-supersede-key": "7"}
    older = []
    for _ in range(4):  # one after the other: which one is the newest says the ledger, and not who was sent last
        before = stage.sim.stats()["requests"]
        older.append(stage.client().send(send(stage, "openai", "hang", name="superseded", headers=lane)))
        eventually(stage.sim.stats, lambda stats, before=before: stats["requests"] > before)
    newest = stage.ask(send(stage, "openai", name="superseding", headers=lane))
    assert newest is not None
    assert newest.status == 200
    for client in older:
        stage.see(client.answer())
        client.close()
    assert "superseded" in stage.answers


def masked(stage: Stage) -> None:
    """A secret that is masked must be nowhere, not at the provider either."""
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
    for kind in KINDS:
        name = f"{kind}, secret masked and restored"
        key = "AKIA" + "".join(secrets.choice(letters) for _ in range(16))
        stage.canaries.adopt(key, "identity: masked secret", name)
        for stream in (True, False):
            answer = stage.ask(send(stage, kind, name=name, text=f" my key is {key} here", stream=stream))
            assert answer is not None
            assert answer.status == 200


def drained(stage: Stage) -> None:
    """The last of its gateway: an open stream ends while the gateway stops, and what comes late is told so.

    The gateway stands still while the late requests and the signal arrive, so that it finds both at once. Their
    sessions are new to it: it asks the store for them, and drains by the time that it knows them.
    """
    late = {kind: {"authorization": "Bearer " + stage.session(f"late {kind}")["access_token"]} for kind in KINDS}
    with contextlib.ExitStack() as stack:
        stream, *kept = (stack.enter_context(stage.client()) for _ in range(1 + len(late)))
        for client in kept:
            client.send(send(stage, "openai", name="drain: a kept connection")).answer()
        stream.send(send(stage, "openai", "paced", name="drain: an open stream")).head()
        stream.chunk()
        os.kill(stage.process.pid, signal.SIGSTOP)
        for client, (kind, headers) in zip(kept, late.items(), strict=True):
            client.send(send(stage, kind, name=f"{kind}, drain: a late request", headers=headers))
        os.kill(stage.process.pid, signal.SIGTERM)
        os.kill(stage.process.pid, signal.SIGCONT)
        for client in kept:
            answer = client.answer()
            stage.see(answer)
            assert (answer.status, answer.code) == (503, "draining")
        while stream.chunk():
            pass
    assert stage.process.wait(30) == 0


def store_outage(stage: Stage) -> None:
    """A store that stands still, then one that died; then a gateway that died with requests unsettled."""
    store = stage.store_process()
    os.kill(store, signal.SIGSTOP)
    for _ in range(2):
        stage.ask(send(stage, "openai", name="store stands still"))
    os.kill(store, signal.SIGCONT)
    assert "metering_unavailable" in stage.answers
    with stage.client() as client:
        client.send(send(stage, "openai", "paced", name="store dies in the stream")).head()
        client.chunk()
        os.kill(stage.store_process(), signal.SIGKILL)
        while client.chunk():
            pass
    eventually(
        lambda: stage.ask(send(stage, "openai", name="store is back")), lambda answer: answer and answer.status == 200
    )
    stage.watch()


def replayed(stage: Stage) -> None:
    """Killed in a stream, and with a settlement that no store has: the next gateway settles each of them once."""
    with stage.client() as streaming, stage.client() as leaving:
        killed = streaming.send(send(stage, "openai", "paced", name="killed in the stream, then reaped")).head().rid
        owed = leaving.send(send(stage, "openai", "paced", name="killed, then replayed from the spool")).head().rid
        streaming.chunk()
        leaving.chunk()
        store = stage.store_process()
        os.kill(store, signal.SIGSTOP)
        leaving.close()
        eventually(lambda: _settled_in_the_spool(stage), lambda rids: owed in rids)
        for pid in [*stage.processes(), store]:
            os.kill(pid, signal.SIGKILL)  # the store as well: it must not find the settlement in its socket
    stage.process.wait(30)
    stage.again()
    answer = stage.ask(send(stage, "openai", name="after the replay"))
    assert answer is not None
    assert answer.status == 200
    eventually(stage.records, lambda found: {killed, owed, answer.rid} <= {one.rid for one in found})
    account = eventually(stage.credits, lambda found: found["held"] == 0)
    records = stage.records()
    fates = [(one.rid, one.rev, one.basis, one.outcome) for one in records if one.rid in {killed, owed}]
    assert sorted(fates) == sorted(
        [(owed, 1, Basis.PARTIAL, Outcome.CLIENT_ABORT), (killed, 0, Basis.ORPHAN, Outcome.LOST)]
    )
    assert account["spent"] == sum(one.charge for one in records)


def _settled_in_the_spool(stage: Stage) -> set[str]:
    segments = [path.read_bytes() for path in (stage.folder / "data/spool").iterdir() if path.is_file()]
    settled = [text for data in segments for kind, text in frames.frames(data) if kind == frames.SETTLED]
    return {parse(text).rid for text in settled}


SCENARIOS: dict[str, tuple[Callable[[Stage], None], ...]] = {
    "usual": (
        *(dialects, translations, aborts, refusals, by_feature, by_provider, by_switch, by_broker, time_outs),
        drained,
    ),
    "guarded": (masked, superseded, aborts),
    "faulty": (by_fault, body_stalls),
    "limited": (by_policy, by_limits, by_service, by_token),
    "outage": (store_outage, replayed),
    "people": (device_login, portal),
    "register": (members,),
    "supabase": (signed_in_by_supabase,),
}
# The gateway's own errors that a setting's clients must have been told: together, all that there are.
ANSWERS: dict[str, tuple[str, ...]] = {
    "usual": (
        *("invalid_request", "unsupported_feature", "privacy_unsupported", "token_invalid", "credits_exhausted"),
        *("foreign_origin", "model_not_found", "not_found", "method_not_allowed"),
        *("request_too_large", "unsupported_encoding", "upgrade_required", "headers_too_large", "upstream_error"),
        *("provider_unavailable", "draining", "upstream_timeout", "thread_unsupported_request"),
    ),
    "guarded": ("superseded",),
    "faulty": ("internal_error", "request_timeout"),
    "limited": (
        *("token_expired", "token_revoked", "local_mode", "model_not_in_plan", "region_unavailable"),
        "retention_unavailable",
        *("account_restricted", "app_upgrade_required", "insufficient_scope", "conflict", "rate_limited"),
        *("concurrency_limited", "overloaded"),
    ),
    "outage": ("metering_unavailable",),
}
