"""One request of local mode, from its body to the last byte of the engine's answer.

Order: read the body; read its head, and refuse what would leave the machine (server-side tools, remote content, stored
content); find the engine; send the same bytes if the engine supports the operation, else the translated ones; forward
the answer as it arrives.

`passing` forwards and ends the answer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gateway.http import request as inbound
from gateway.http.answers import SERVER_NAME, TOOLS_REMOVED, error_of_refusal
from gateway.http.shares import FairBudget
from gateway.http.slices import Slices
from gateway.local.directory import Directory, Engine
from gateway.local.engine import PATIENCE, EngineAnswer, Headers, Patience, ask
from gateway.local.faults import EngineError, error_of
from gateway.local.passing import Passing
from metering.numbers import whole_number
from providers.anthropic.messages import check_betas
from providers.conversation.failures import translate_error
from providers.conversation.translator import TRANSLATED, Translation, translate
from providers.dialect import Family, Head, Operation, ProviderError, Refusal, Target
from providers.document.splice import Edits
from providers.headers import asks_for_events, query_string, request_headers, response_headers
from providers.local.remote_references import refuse_remote_references
from providers.steps import Steps, at_once
from providers.tools.removal import less_refused, remove_tools
from providers.wires import WIRES

MOST_ERROR: Final = 1 << 20
BODY_SECONDS: Final = 300.0  # for a whole body
_TOOLS: Final = (
    "Server-side tools run at a provider or use the network, which local mode does not do: run them on the client."
)
_NOT_HERE: Final = "The engine of this model does not support this operation, and the broker cannot translate it."
_REFUSALS: Final = frozenset((400, 422))
"""How engines answer a request whose tool choice they do not take."""


class EngineExchange:
    """One request. Use `run` once."""

    def __init__(
        self,
        directory: Directory,
        bodies: FairBudget,
        request: web.BaseRequest,
        *,
        operation: Operation,
        family: Family,
        rid: str,
        more_headers: Mapping[str, str],
        always_translate: bool = False,
        patience: Patience = PATIENCE,
    ) -> None:
        """Build it.

        Args:
            directory: Who runs what.
            bodies: Bounds the bytes of bodies that are held.
            request: The caller's request.
            operation: What it asks for.
            family: The caller's dialect.
            rid: The request's id.
            more_headers: Headers that the answer has for its caller's sake.
            always_translate: Do not use what an engine has of the operation itself.
            patience: How long to wait for the engine.
        """
        self._directory = directory
        self._bodies = bodies
        self._request = request
        self._operation = operation
        self._family = family
        self._rid = rid
        self._more_headers = more_headers
        self._tools_removed = ""
        self._always_translate = always_translate
        self._patience = patience
        self._loop = asyncio.get_running_loop()
        self._slices = Slices()

    async def run(self, path_model: str | None, query: str, limit: int) -> web.StreamResponse:
        """Answer the request.

        Raises:
            GatewayError: Before anything was sent to the client.
        """
        with self._bodies.hold("") as share:
            body = await inbound.read_body(self._request, limit, share, BODY_SECONDS, self._slices)
            try:
                head, body = await self._slices.run(self._read(body, path_model), share.holder)
                engine, model = await self._directory.find(head.model)
                translation, sent = self._prepare(body, head, engine, model, query)
            except Refusal as refusal:
                raise error_of_refusal(refusal) from None
            answer = await self._ask(engine, model, translation, sent, query)
            if translation is not None and answer.status in _REFUSALS and self._names_choice(translation, engine):
                answer = await self._ask_again(answer, engine, model, translation, query)
            try:
                return await self._answer(answer, engine, head, translation)
            except EngineError as error:
                raise error_of(error.fault) from None
            finally:
                answer.close()

    def _read(self, body: bytes, path_model: str | None) -> Steps[tuple[Head, bytes]]:
        """The head, and the body less the tools that an agent offers on every request and that no engine runs."""
        wire = WIRES[self._operation]
        head = less_refused((yield from wire.read(body, path_model)), frozenset())
        if head.removed_tools:
            edits = Edits(body, head.members)
            yield from remove_tools(edits, self._family, head.removed_tools)
            self._tools_removed = ", ".join(sorted(head.removed_tools))
            body = edits.build()
            head = yield from wire.read(body, path_model)
        if self._family is Family.ANTHROPIC:
            check_betas(self._request.headers.getall("anthropic-beta", ()), strip=True)
        if head.server_tools:
            raise Refusal("unsupported_feature", _TOOLS, "tools")
        refuse_remote_references(body)
        return head, body

    def _prepare(
        self, body: bytes, head: Head, engine: Engine, model: str, query: str
    ) -> tuple[Translation | None, bytes]:
        """The translation, if there is one, and the bytes for the engine. Raises `Refusal`."""
        native = self._operation in engine.native
        if native and not (self._always_translate and self._operation in TRANSLATED):
            target = Target(
                model=model, alias=model != head.model, store=False, include_usage=False, strip_unknown=False
            )
            return None, at_once(WIRES[self._operation].splice(body, head, target))
        if self._operation not in TRANSLATED:
            raise Refusal("unsupported_feature", _NOT_HERE)
        translation = translate(
            self._operation,
            body,
            model=head.model,
            target=model,
            identity=self._rid.replace("req_", "msg_" if self._family is Family.ANTHROPIC else ""),
            sse=asks_for_events(query),
            named_choice=self._directory.takes_named_choice(engine),
        )
        return translation, translation.body

    async def _ask(
        self, engine: Engine, model: str, translation: Translation | None, body: bytes, query: str
    ) -> EngineAnswer:
        headers: Headers = [(b"content-type", b"application/json")]
        path = "/v1/chat/completions"
        if translation is None:
            passed = request_headers(self._family, self._request.raw_headers)
            headers += [pair for pair in passed if pair[0] != b"content-type"]
            rest = query_string(query)
            path = WIRES[self._operation].path(model) + (f"?{rest}" if rest else "")
        try:
            return await ask(
                self._loop, engine.address, "POST", path, body=body, headers=headers, patience=self._patience
            )
        except EngineError as error:
            raise error_of(error.fault) from None

    def _names_choice(self, translation: Translation, engine: Engine) -> bool:
        return translation.names_choice and self._directory.takes_named_choice(engine)

    async def _ask_again(
        self, answer: EngineAnswer, engine: Engine, model: str, translation: Translation, query: str
    ) -> EngineAnswer:
        """The engine refused a request whose tool choice names a tool, which not every engine takes."""
        answer.close()
        again = await self._ask(engine, model, translation, translation.with_string_choice(model).body, query)
        if 200 <= again.status < 300:
            self._directory.note_string_choices(engine)
        return again

    async def _answer(
        self, answer: EngineAnswer, engine: Engine, head: Head, translation: Translation | None
    ) -> web.StreamResponse:
        if not 200 <= answer.status < 300:
            return await self._refused(answer, engine, translation)
        said = answer.header(b"content-type").decode("latin-1")
        if translation is None:
            labelled = said.lower().startswith("text/event-stream")
            sse = True if labelled else None if head.stream else False  # some engines do not label their streams
            scanner = WIRES[self._operation].scanner(head, sse=sse)
            stream = labelled or head.stream
            passing = Passing(answer, scanner, operation=self._operation, rid=self._rid, stream=stream)
            return await self._pass(passing, answer, engine, None, said)
        if not translation.conversation.stream:
            translated = translation.whole(await answer.whole())
            if isinstance(translated, ProviderError):
                return self._failed(translated, engine, translation)
            return self._whole(200, translated, engine)
        passing = Passing(
            answer,
            translation.stream(),
            operation=self._operation,
            rid=self._rid,
            stream=True,
            translated=True,
        )
        return await self._pass(passing, answer, engine, translation, "application/json")

    async def _pass(
        self, passing: Passing, answer: EngineAnswer, engine: Engine, translation: Translation | None, kind: str
    ) -> web.StreamResponse:
        await passing.open()
        if passing.failure is not None:
            return self._failed(passing.failure, engine, translation)
        kind = "text/event-stream" if passing.sse else kind or "application/json"
        response = web.StreamResponse(headers=self._headers(engine, kind))
        length = whole_number(answer.header(b"content-length"))
        if length is not None and translation is None and not passing.sse:
            response.content_length = length
        await passing.send(self._request, response)
        return response

    def _failed(self, error: ProviderError, engine: Engine, translation: Translation | None) -> web.Response:
        """The engine said in a good answer that it failed: the status that its error means."""
        body = error.body
        if translation is not None:
            body = translate_error(self._family, error.status, body, rid=self._rid)
        return self._whole(error.status, body, engine, {"x-error-origin": "provider"})

    async def _refused(self, answer: EngineAnswer, engine: Engine, translation: Translation | None) -> web.Response:
        """The engine's own error: unchanged in the same dialect, with its message in another one."""
        body = await answer.whole(MOST_ERROR)
        if translation is not None:
            body = translate_error(self._family, answer.status, body, rid=self._rid)
            return self._whole(answer.status, body, engine, {"x-error-origin": "provider"})
        kept = {
            name.decode(): value.decode("latin-1") for name, value in response_headers(self._family, answer.headers)
        }
        return self._whole(answer.status, body, engine, kept | {"x-error-origin": "provider"})

    def _headers(self, engine: Engine, kind: str) -> dict[str, str]:
        headers = {
            "Content-Type": kind,
            "Server": SERVER_NAME,
            "x-request-id": self._rid,
            "x-provider": engine.kind.value,
            **self._more_headers,
        }
        if self._family is Family.ANTHROPIC:
            headers["request-id"] = self._rid
        if self._tools_removed:
            headers[TOOLS_REMOVED] = self._tools_removed
        return headers

    def _whole(self, status: int, body: bytes, engine: Engine, more: dict[str, str] | None = None) -> web.Response:
        headers = self._headers(engine, "application/json")
        for name, value in (more or {}).items():
            headers["Content-Type" if name == "content-type" else name] = value
        return web.Response(body=body, status=status, headers=headers)
