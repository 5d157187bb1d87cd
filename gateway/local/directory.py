"""The engines of this machine and their models, and which engine serves a requested model.

Rules:

1. A request goes only to the engine that lists its model: if that engine fails, the request fails. ``engine/model``
   distinguishes models of the same name; without the prefix, the first engine in the order of the list serves it.
2. A model that its engine runs in a cloud is refused: by its name, by the engine's list, and by asking the engine right
   before the prompt is sent.
3. On a usual port, only an engine that is recognised by its answers is used, since any program may listen there. An
   engine that the user named is always used.
4. To find engines and models, it requests lists and sends empty requests. It never sends content.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import orjson

from gateway.errors import GatewayError, LocalMode, ModelNotFound, ProviderUnavailable
from gateway.local.address import Address, Tcp
from gateway.local.engine import Patience, ask
from gateway.local.faults import NO_ENGINE, EngineError, error_of
from providers.dialect import Operation, without_context
from providers.local.engines import (
    PORTS,
    STRING_CHOICES,
    EngineKind,
    has_endpoint,
    is_ollama,
    names_cloud,
    read_models,
    read_tags,
    runs_here,
)

FRESH_SECONDS: Final = 5.0
_LOOKING: Final = Patience(first_byte=3.0, idle=3.0)
_MOST_LIST: Final = 4 << 20
_PROBED: Final = {
    Operation.OPENAI_RESPONSES: "/v1/responses",
    Operation.ANTHROPIC_MESSAGES: "/v1/messages",
    Operation.ANTHROPIC_COUNT_TOKENS: "/v1/messages/count_tokens",
}
# Every engine supports these; one that does not answers with an error.
_EVERYWHERE: Final = frozenset((Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS, Operation.OPENAI_EMBEDDINGS))
_CLOUD: Final = "The engine would run this model in a cloud. Choose a model that runs on this machine."


@dataclass(frozen=True, slots=True)
class Engine:
    """One engine that answered.

    Attributes:
        models: Its models that run on this machine.
        cloud: Names that it lists and would run elsewhere.
        native: The operations that it has itself.
    """

    kind: EngineKind
    address: Address
    models: tuple[str, ...]
    cloud: frozenset[str]
    native: frozenset[Operation]

    def model_of(self, name: str) -> str | None:
        """Its own name of a model: Ollama's ``llama3`` is ``llama3:latest``."""
        for candidate in (name, f"{name}:latest") if self.kind is EngineKind.OLLAMA else (name,):
            if candidate in self.models:
                return candidate
        return None


class Directory:
    """Looks for engines, at most once in `FRESH_SECONDS`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, named: Sequence[Address], *, usual_ports: bool) -> None:
        """Build it.

        Args:
            loop: The event loop.
            named: The addresses that the user gave.
            usual_ports: Look at the engines' usual ports too.
        """
        self._loop = loop
        self._places: list[tuple[Address, EngineKind | None]] = [(address, None) for address in named]
        if usual_ports:
            self._places += [(Tcp(host, port), kind) for kind, port in PORTS.items() for host in ("127.0.0.1", "::1")]
        self._seen_at = float("-inf")
        self._lock = asyncio.Lock()
        self._string_choices: set[Address] = set()
        self.engines: tuple[Engine, ...] = ()

    def takes_named_choice(self, engine: Engine) -> bool:
        """The engine takes a tool choice that names a tool, as far as is known."""
        return engine.kind not in STRING_CHOICES and engine.address not in self._string_choices

    def note_string_choices(self, engine: Engine) -> None:
        """The engine has answered a request only without such a choice."""
        self._string_choices.add(engine.address)

    async def look(self, *, now: bool = False) -> tuple[Engine, ...]:
        """The engines that answer, in the order of their addresses."""
        async with self._lock:
            if now or self._loop.time() - self._seen_at > FRESH_SECONDS:
                found = await asyncio.gather(*(self._probe(address, usual) for address, usual in self._places))
                engines: list[Engine] = []
                for engine, (_, usual) in zip(found, self._places, strict=True):
                    # One engine on both loopback addresses is one engine.
                    if engine is not None and not (usual and any(engine.kind is other.kind for other in engines)):
                        engines.append(engine)
                self.engines = tuple(engines)
                self._seen_at = self._loop.time()
            return self.engines

    def names(self) -> list[tuple[str, Engine]]:
        """Every model that can be asked for, under the name that reaches it."""
        found: dict[str, Engine] = {}
        for engine in self.engines:
            for model in engine.models:
                found.setdefault(model if model not in found else f"{engine.kind}/{model}", engine)
        return list(found.items())

    async def find(self, name: str) -> tuple[Engine, str]:
        """The engine of a model and its own name of it.

        Raises:
            LocalMode: It would run elsewhere.
            ModelNotFound: No engine lists it.
            ProviderUnavailable: There is no engine, or the model's own does not answer.
        """
        if names_cloud(name) or names_cloud(without_context(name)):
            raise LocalMode(_CLOUD)
        engine, model = self._pick(await self.look(), name)
        if engine is None:
            engine, model = self._pick(await self.look(now=True), name)
        if engine is None:
            raise self._unknown(name)
        if engine.kind is EngineKind.OLLAMA:
            await self._confirm(engine, model)
        return engine, model

    def _pick(self, engines: Sequence[Engine], name: str) -> tuple[Engine | None, str]:
        for asked in dict.fromkeys((name, without_context(name))):
            for engine in engines:
                for wanted in (asked, asked.removeprefix(f"{engine.kind}/")):
                    model = engine.model_of(wanted)
                    if model is not None:
                        return engine, model
        return None, ""

    def _unknown(self, name: str) -> GatewayError:
        name = without_context(name)
        if any(cloud in engine.cloud for engine in self.engines for cloud in (name, f"{name}:latest")):
            return LocalMode(_CLOUD)
        if not self.engines:
            return ProviderUnavailable(NO_ENGINE)
        return ModelNotFound("No engine on this machine lists this model. GET /v1/models says which ones there are.")

    async def _confirm(self, engine: Engine, model: str) -> None:
        """Ask Ollama itself: a name may have been given to another model since the list was read."""
        try:
            status, shown = await self._fetch(engine.address, "POST", "/api/show", orjson.dumps({"model": model}))
        except EngineError as error:
            raise error_of(error.fault) from None
        if status == 404:
            raise ModelNotFound("No engine on this machine lists this model. GET /v1/models says which ones there are.")
        if status != 200 or not runs_here(shown):
            raise LocalMode(_CLOUD)

    async def _probe(self, address: Address, usual: EngineKind | None) -> Engine | None:
        try:
            engine = await self._recognise(address)
        except EngineError:
            return None
        return engine if engine is not None and (usual is None or engine.kind is not EngineKind.OTHER) else None

    async def _recognise(self, address: Address) -> Engine | None:
        status, body = await self._fetch(address, "GET", "/api/version")
        if status == 200 and is_ollama(body):
            status, body = await self._fetch(address, "GET", "/api/tags")
            tags = read_tags(body) if status == 200 else None
            if tags is None:
                return None
            return Engine(EngineKind.OLLAMA, address, *tags, await self._native(address))
        status, body = await self._fetch(address, "GET", "/v1/models")
        listed = read_models(body) if status == 200 else None
        if listed is None:
            return None
        return Engine(listed[1], address, listed[0], frozenset(), await self._native(address))

    async def _native(self, address: Address) -> frozenset[Operation]:
        found = set(_EVERYWHERE)
        for operation, path in _PROBED.items():
            if has_endpoint(*await self._fetch(address, "POST", path, b"{}")):
                found.add(operation)
        return frozenset(found)

    async def _fetch(self, address: Address, method: str, path: str, body: bytes = b"") -> tuple[int, bytes]:
        headers = ((b"content-type", b"application/json"),) if body else ()
        answer = await ask(self._loop, address, method, path, body=body, headers=headers, patience=_LOOKING)
        try:
            return answer.status, await answer.whole(_MOST_LIST)
        finally:
            answer.close()
