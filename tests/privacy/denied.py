"""Scenarios of errors that say nothing of the request: of tokens, of the gateway's own keys, and of its faults.

The answer of each must be the error that the scenario is about; what it came with is kept no more than usual.
"""

from __future__ import annotations

from functools import partial
from typing import Any

from gateway.auth import entitlements, revocation
from gateway.auth.announcements import Announcement, Topic, publish
from gateway.auth.entitlements import Entitlements
from gateway.auth.principal import sid_of
from gateway.auth.switches import Switchable, switch
from metering.store.store import Store
from tests.gateway_process import model, provider
from tests.integration.conftest import SCRIPTS, eventually
from tests.local_process import BrokerProcess, ScriptedEngine, chat_engine
from tests.privacy.stage import Stage
from tests.privacy.traffic import KINDS, send

# What a provider says about the gateway's own key or account. Google tells of its credits as it tells of rates, and
# Anthropic of a used quota as of a wrong request: those pass as they are.
KEY_FAULTS = {
    "openai": ("401", "402", "403", "quota"),
    "anthropic": ("401", "402", "403"),
    "google": ("401", "403"),
}
FAILED_OVER = ("503", "404", "error_early")  # by a target before another company's
ELSEWHERE = {"openai": "anthropic", "anthropic": "google", "google": "openai"}  # the other company speaks this
NOBODY = "127.0.0.1:1"  # nothing listens there
UNSUPPORTED = "unsupported_feature"
PATHS = ("/v1/chat/completions", "/v1/messages", "/v1beta/models/small:generateContent")


def catalog(url: str, **trusted: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Providers of a setting, and its models: ``{kind}-{script}`` each, with the scripts of this module too."""
    scheme = url.partition("://")[0]
    providers, models = {}, []
    for kind, real in KINDS.items():
        providers[kind] = provider(kind, url, **trusted)
        providers[f"{kind}-other"] = provider(kind, url, company="other", **trusted)
        providers[f"{kind}-away"] = provider(kind, f"{scheme}://{NOBODY}", **trusted)
        models += [model(f"{kind}-{name}", kind, real + how) for name, how in SCRIPTS.items()]
        models += [model(f"{kind}-{fault}", kind, f"{real}@fault-{fault}") for fault in KEY_FAULTS[kind]]
        for fault in FAILED_OVER:
            failing, other = (
                {"provider": kind, "model": f"{real}@fault-{fault}"},
                {"provider": f"{kind}-other", "model": real},
            )
            models.append(model(f"{kind}-over-{fault}", kind) | {"targets": [failing, other]})
        failing, other = (
            {"provider": kind, "model": f"{real}@fault-503@thinking-0"},
            {"provider": f"{ELSEWHERE[kind]}-other", "model": KINDS[ELSEWHERE[kind]]},
        )
        models.append(model(f"{kind}-over-dialect", kind) | {"targets": [failing, other]})
        kept = {"provider": kind, "model": real, "retention_days": 30}
        models.append(model(f"{kind}-kept", kind) | {"targets": [kept]})
        models.append(model(f"{kind}-away", f"{kind}-away", real))
    return providers, models


def by_feature(stage: Stage) -> None:
    """Members that are not served, each with its marker."""
    plant = stage.canaries.plant
    name = "a feature that is not served"
    for kind, more in (
        ("openai", {"models": [plant("member of a body", name)]}),
        ("openai", {"service_tier": "flex", "metadata": {plant("member of a body", name): "x"}}),
        ("openai", {"tools": [{"type": plant("tool", name)}]}),
        ("anthropic", {"tools": [{"type": plant("tool", name), "name": plant("tool", name)}]}),
        ("google", {"tools": [{plant("tool", name): {}}]}),
    ):
        _told(stage, send(stage, kind, name=name, more=more), 400, UNSUPPORTED)


def by_token(stage: Stage) -> None:
    """A token that has expired, and one whose session was revoked while its stream ran."""
    name = "a token that has expired"
    expired = _session(stage, name, **{"expires-in": "1s"})
    for kind in KINDS:
        _comes(stage, kind, "token_expired", name, expired)
    name = "a session that was revoked"
    revoked = _session(stage, name)
    sid = sid_of(revoked["authorization"].removeprefix("Bearer "))
    assert sid is not None
    with stage.client() as client:
        client.send(send(stage, "openai", "paced", name=name + " in its stream", headers=revoked)).head()
        said = client.chunk()
        assert stage.on_store(lambda store: revocation.revoke(store, sid, actor="cli"))
        while piece := client.chunk():
            said += piece
        assert b"token_revoked" in said
    for kind in KINDS:
        _comes(stage, kind, "token_revoked", name, revoked)


def by_provider(stage: Stage) -> None:
    """What the provider says of the gateway's key is not the caller's to know, nor anybody's to keep."""
    for kind, faults in KEY_FAULTS.items():
        for fault in (*faults, "away"):
            for stream in (True, False):
                name = f"{kind}, provider is away" if fault == "away" else f"{kind}, gateway's key refused ({fault})"
                _told(stage, send(stage, kind, fault, name=name, stream=stream), 503, "provider_unavailable")


def by_switch(stage: Stage) -> None:
    """What fails is answered by another company, which the account allows; then the operator switches providers off."""

    async def allow(store: Store) -> None:
        assert await entitlements.write(
            store.client, stage.pid, Entitlements(1, fallback_companies=frozenset({"other"}))
        )
        assert await publish(store.client, Announcement(Topic.POLICY_CHANGED, pid=stage.pid))

    stage.on_store(allow)

    def answered(kind: str, fault: str, *, stream: bool) -> str:
        name = f"{kind}, another company answers ({fault})"
        answer = stage.ask(send(stage, kind, f"over-{fault}", name=name, stream=stream))
        return answer.headers.get("x-provider", "") if answer is not None and answer.status == 200 else ""

    for kind in KINDS:
        for fault in FAILED_OVER:
            for stream in (True, False):
                if fault != "error_early" or stream:
                    eventually(partial(answered, kind, fault, stream=stream), lambda name: name.endswith("-other"))
        for stream in (True, False):
            eventually(
                partial(answered, kind, "dialect", stream=stream),
                lambda name, kind=kind: name == f"{ELSEWHERE[kind]}-other",
            )
        stage.on_store(lambda store, kind=kind: switch(store, Switchable.PROVIDER, kind, off=True))
        _comes(stage, kind, "provider_unavailable", f"{kind}, switched off", {})
        stage.on_store(lambda store, kind=kind: switch(store, Switchable.PROVIDER, kind, off=False))
        _comes(stage, kind, "", f"{kind}, switched on", {})


def by_broker(stage: Stage) -> None:
    """The local broker, called by a web page or under another name; it leaves what it leaves in the same folder."""
    name, plant = "local broker, called by a web page", stage.canaries.plant
    with (
        ScriptedEngine(chat_engine("small")) as engine,
        BrokerProcess("--only-named", "--engine", engine.address, prefix=stage.tracer, cwd=stage.folder) as broker,
    ):
        stage.ports.add(broker.port)
        for path in PATHS:
            for headers, host in (
                ({"origin": "https://" + plant("header: origin", name) + ".test"}, None),
                ({"sec-fetch-site": "cross-site", "referer": plant("header: referer", name)}, None),
                ({"cookie": plant("header: cookie", name)}, plant("header: host", name) + ".test"),
            ):
                body = {"model": plant("model", name), "messages": [{"role": "user", "content": plant("prompt", name)}]}
                answer = broker.send("POST", f"{path}?note={plant('query', name)}", body, headers=headers, host=host)
                stage.see(answer)
                assert (answer.status, answer.code) == (403, "foreign_origin")
        assert not any(asked.startswith("POST /v1/chat") for asked, _, _ in engine.seen)


def by_fault(stage: Stage) -> None:
    """The gateway itself fails (`faults`), with exceptions that quote the request or the answer."""
    for kind in KINDS:
        for stream in (True, False):
            for fault in ("reading", "sending"):
                name = f"{kind}, a fault of the gateway ({fault})"
                _told(stage, send(stage, kind, text=f" fault:{fault}", name=name, stream=stream), 500, "internal_error")
            name = f"{kind}, a fault of the gateway (relaying)"
            answer = stage.ask(send(stage, kind, text=" fault:relaying", name=name, stream=stream))
            assert answer is not None
            assert answer.code == "internal_error" or not answer.complete
    log = stage.log.read_text()
    for error in ("ValueError", "RuntimeError", "KeyError"):  # each happened
        assert log.count(f'"error":"{error}"') >= 2 * len(KINDS)
    eventually(stage.credits, lambda found: found["held"] == 0)


def _session(stage: Stage, name: str, **options: Any) -> dict[str, str]:
    """The header of a session of its own, with credits."""
    token = stage.session(stage.canaries.plant("identity: user", name), 1_000_000, **options)["access_token"]
    stage.canaries.adopt(token, "identity: access token", name)
    return {"authorization": f"Bearer {token}"}


def _told(stage: Stage, data: bytes, status: int, code: str) -> None:
    answer = stage.ask(data)
    assert answer is not None
    assert (answer.status, answer.code) == (status, code), answer.body


def _comes(stage: Stage, kind: str, code: str, name: str, headers: dict[str, str]) -> None:
    """Until a second has passed, or the worker has heard of it, requests pass."""

    def said() -> str:
        answer = stage.ask(send(stage, kind, name=name, headers=headers))
        return (answer.code or "") if answer else ""

    eventually(said, lambda found: found == code)
