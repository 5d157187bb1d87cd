"""One request of local mode, from its body to the last byte of the engine's answer.

Order: read the body; read its head and refuse what would leave the machine (server-side tools, content
that is somewhere else, what an API would keep); find the engine; send the same bytes where the engine
has the operation itself, else the translated ones; pass the answer on as it comes.

Who pauses whom: `StreamResponse.write` waits while the client's buffer is full, and meanwhile nothing
is read from the engine. A client that goes away cancels this coroutine, which drops the connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from aiohttp import web

from gateway.errors import GatewayError, UpstreamError
from gateway.http import request as inbound
from gateway.http.answers import SERVER_NAME, error_of_refusal
from gateway.http.server import reset
from gateway.local.directory import Directory, Engine
from gateway.local.engine import PATIENCE, EngineAnswer, Headers, Patience, ask
from gateway.local.faults import EngineError, error_of
from providers.anthropic.messages import check_beta
from providers.conversation.translator import TRANSLATED, StreamTranslator, Translation, translate, translate_error
from providers.dialect import Family, Head, Operation, Refusal, Scanner, Target
from providers.errors import error_event
from providers.headers import query_string, request_headers, response_headers
from providers.local.remote_references import refuse_remote_references
from providers.wires import WIRES

MOST_ERROR: Final = 1 << 20
_TOOLS: Final = (
    "Server-side tools run at a provider or reach the network, and local mode has neither: run them yourself."
)
_NOT_HERE: Final = "The engine of this model does not have this operation, and it can't be translated into one it has."
_UNTOLD: Final = "The engine's answer can't be told in this API."
_ENDED: Final = "The engine's answer ended in an error."


class EngineExchange:
    """One request. Use `run` once."""

    def __init__(
        self,
        directory: Directory,
        bodies: inbound.BodyBudget,
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
        self._always_translate = always_translate
        self._patience = patience
        self._loop = asyncio.get_running_loop()

    async def run(self, path_model: str | None, query: str, limit: int) -> web.StreamResponse:
        """Answer the request.

        Raises:
            GatewayError: Before anything was sent to the client.
        """
        with self._bodies.hold() as share:
            body = await inbound.read_body(self._request, limit, share)
            try:
                head = self._read(body, path_model)
                engine, model = await self._directory.find(head.model)
                translation, sent = self._prepare(body, head, engine, model, query)
            except Refusal as refusal:
                raise error_of_refusal(refusal) from None
            answer = await self._ask(engine, model, translation, sent, query)
            try:
                return await self._answer(answer, engine, head, translation)
            except EngineError as error:
                raise error_of(error.fault) from None
            finally:
                answer.close()

    def _read(self, body: bytes, path_model: str | None) -> Head:
        head = WIRES[self._operation].read(body, path_model)
        if self._family is Family.ANTHROPIC:
            check_beta(self._request.headers.getall("anthropic-beta", ()))
        if head.server_tools:
            raise Refusal("unsupported_feature", _TOOLS, "tools")
        refuse_remote_references(self._operation, body)
        return head

    def _prepare(
        self, body: bytes, head: Head, engine: Engine, model: str, query: str
    ) -> tuple[Translation | None, bytes]:
        """The translation, if there is one, and the bytes for the engine. Raises `Refusal`."""
        native = self._operation in engine.native
        if native and not (self._always_translate and self._operation in TRANSLATED):
            target = Target(model=model, alias=model != head.model, store=False, include_usage=False)
            return None, WIRES[self._operation].splice(body, head, target)
        if self._operation not in TRANSLATED:
            raise Refusal("unsupported_feature", _NOT_HERE)
        translation = translate(
            self._operation,
            body,
            model=head.model,
            target=model,
            identity=self._rid.replace("req_", "msg_" if self._family is Family.ANTHROPIC else ""),
            sse="alt=sse" in query_string(query).replace("$alt", "alt").split("&"),
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

    async def _answer(
        self, answer: EngineAnswer, engine: Engine, head: Head, translation: Translation | None
    ) -> web.StreamResponse:
        if not 200 <= answer.status < 300:
            return await self._refused(answer, engine, translation)
        sse = answer.header(b"content-type").lower().startswith(b"text/event-stream")
        if translation is None:
            scanner = WIRES[self._operation].scanner(head, sse=sse)
            kind = answer.header(b"content-type").decode("latin-1")
            return await self._stream(answer, engine, scanner, sse=sse, kind=kind)
        if not translation.conversation.stream:
            translated = translation.whole(await answer.whole())
            if translated is None:
                raise UpstreamError(_UNTOLD)
            return self._whole(200, translated, engine)
        kind = "text/event-stream" if translation.sse or self._family is Family.ANTHROPIC else "application/json"
        return await self._stream(answer, engine, translation.stream(), sse=kind == "text/event-stream", kind=kind)

    async def _refused(self, answer: EngineAnswer, engine: Engine, translation: Translation | None) -> web.Response:
        """The engine's own error: as it is in the same dialect, with its sentence in another."""
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
        return headers

    def _whole(self, status: int, body: bytes, engine: Engine, more: dict[str, str] | None = None) -> web.Response:
        headers = self._headers(engine, "application/json")
        for name, value in (more or {}).items():
            headers["Content-Type" if name == "content-type" else name] = value
        return web.Response(body=body, status=status, headers=headers)

    async def _stream(
        self, answer: EngineAnswer, engine: Engine, passing: Scanner | StreamTranslator, *, sse: bool, kind: str
    ) -> web.StreamResponse:
        """Pass a body on through what watches it (the same dialect) or translates it."""
        data = await answer.read()  # a fault before the first byte is still an error of its own
        response = web.StreamResponse(headers=self._headers(engine, kind or "application/json"))
        length = answer.header(b"content-length")
        if length.isdigit() and not sse and not isinstance(passing, StreamTranslator):
            response.content_length = int(length)
        await response.prepare(self._request)
        error: GatewayError | None = None
        try:
            while data:
                out = passing.feed(data)
                if out:
                    await response.write(out)
                if isinstance(passing, StreamTranslator) and (passing.failed or passing.complete):
                    break
                data = await answer.read()
            else:
                rest = passing.finish()
                if rest:
                    await response.write(rest)
        except EngineError as fault:
            error = error_of(fault.fault)
        if isinstance(passing, StreamTranslator):
            ended_well = passing.complete
        else:
            # Bytes of the same dialect say themselves how they ended, the engine's own error event included; only
            # where the connection's end is the body's end, that may be a cut.
            ended_well = error is None and (passing.ended or passing.error is not None or not answer.ended_by_close)
        if ended_well:
            await response.write_eof()
        else:
            await self._end_cut(response, passing, error or UpstreamError(_ENDED), sse=sse)
        return response

    async def _end_cut(
        self, response: web.StreamResponse, passing: Scanner | StreamTranslator, error: GatewayError, *, sse: bool
    ) -> None:
        """Never let a truncated answer look complete: an error event and a close, or a reset."""
        transport = self._request.transport
        if transport is None:
            return
        # What a translator gives never ends inside an event.
        boundary = isinstance(passing, StreamTranslator) or passing.at_boundary
        event = error_event(
            self._operation,
            error.status,
            error.code,
            error.message,
            request_id=self._rid,
            sequence=0 if isinstance(passing, StreamTranslator) else passing.events,
            sse=sse,
        )
        if event and boundary:
            await response.write(event)
            transport.close()  # flushes, then ends without the last chunk
        else:
            reset(transport)
