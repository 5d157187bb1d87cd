"""Builds the client's side of a provider's answer: which headers are forwarded, what is scanned, what is held."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from gateway.errors import GatewayError
from gateway.http.answers import SERVER_NAME, rate_limit_headers, sentence
from gateway.http.codings import codings_of
from gateway.inference.encoded import Bounded, Encoded, Opaque, Untold
from gateway.inference.rejection import Rejection
from gateway.inference.relay import Relay, Watch
from gateway.upstream.connection import Headers
from metering.ledger.ledger import Window
from metering.numbers import whole_number
from providers.answers.sniff import Sniffed
from providers.conversation.failures import translate_error
from providers.conversation.translated_answer import TranslatedBody, TranslatedStream
from providers.conversation.translator import Translated
from providers.dialect import Family, Head, Operation, Scanner, Wire
from providers.errors import content_type, error_body, error_event, event_of_body
from providers.headers import response_headers
from providers.masking.masking import Vault
from providers.masking.restoring import Restored
from providers.redaction import Redaction


def _value(headers: Headers, name: bytes) -> bytes:
    for key, value in headers:
        if key == name:
            return value
    return b""


def _kind(headers: Headers) -> bytes:
    return _value(headers, b"content-type").partition(b";")[0].strip().lower()


def watch_of(
    wire: Wire,
    head: Head,
    status: int,
    headers: Headers,
    vault: Vault | None = None,
    *,
    redaction: Redaction | None = None,
    translation: Translated | None = None,
    rid: str = "",
) -> Watch:
    """How an answer is watched and passed on.

    An error is held for every content type: Google labels errors of streaming calls as event
    streams. A good answer flows when it is an event stream or the caller asked for a stream.

    Args:
        wire: The operation.
        head: The request's.
        status: The answer's.
        headers: The answer's.
        vault: Secrets that the answer gets back.
        redaction: The provider's: what an error inside a stream is passed on without. Any stream may therefore be
            shorter than its provider says.
        translation: What the answer is translated back by.
        rid: The request's id, for the error events of a translated answer.
    """
    if not 200 <= status < 300:
        return Watch(None, flows=False)
    kind = _kind(headers)
    labelled = kind == b"text/event-stream"
    flows = head.stream if translation is not None else labelled or head.stream
    # Some hosts label their event streams as plain text, or not at all.
    sse = labelled or (head.stream and not kind.endswith((b"json", b"html")))
    codings = codings_of([value.decode("latin-1") for name, value in headers if name == b"content-encoding"])
    readable = _readable(kind)
    if codings is None or (not readable and (codings or vault is not None or translation is not None)):
        return Watch(Opaque() if translation is None else Untold(), flows)
    scanner: Scanner
    if readable:
        scanner = wire.scanner(head, sse=True if labelled else None if head.stream else False)
    else:  # some hosts use a generic content type for JSON and events: the first byte decides
        scanner = Sniffed(lambda: wire.scanner(head, sse=True), lambda: wire.scanner(head, sse=False), Opaque)
    scanner = Bounded(scanner)
    hides = sse and not head.wants_usage
    changes = hides or vault is not None or (flows and redaction is not None) or translation is not None
    operation = wire.operation
    if translation is not None:
        operation = translation.operation
        scanner = TranslatedStream(scanner, translation, rid) if flows else TranslatedBody(scanner, translation)
    if vault is not None:
        scanner = Restored(scanner, vault, operation)
    if codings:
        scanner = Encoded(scanner, codings, rewrite=changes)
    if redaction is not None and (flows or not (codings or vault)):
        scanner.redact_errors(lambda error: redaction(error) or _unreadable(operation))
    return Watch(
        scanner,
        flows,
        sse=sse,
        changes=changes,
        decoded=bool(codings) and changes,
        content_type=None if translation is None else translation.content_type,
    )


def _unreadable(operation: Operation) -> bytes:
    """In the place of an error inside a stream that can't be looked through."""
    return error_event(operation, 502, "upstream_error", _UNREADABLE, request_id="")


def _readable(kind: bytes) -> bool:
    """Whether a body of this content type can be an answer of these APIs, or at least be seen to be none."""
    return kind.startswith(b"text/") or kind.endswith((b"/json", b"+json", b"/x-ndjson")) or not kind


def cut_event(operation: Operation, error: GatewayError, rid: str, *, events: int, sse: bool) -> bytes:
    """The error event for the end of a stream that was cut after ``events``, or nothing if the dialect has none."""
    return error_event(
        operation,
        error.status,
        error.code,
        sentence(error),
        request_id=rid,
        retry_after=error.retry_after,
        sequence=events,
        sse=sse,
    )


def rejected_event(operation: Operation, response: web.Response, rid: str) -> bytes:
    """A provider's error, as `rejected_response` has it, for a stream that the gateway has begun."""
    body = response.body
    assert isinstance(body, bytes)
    return event_of_body(operation, body) or error_event(
        operation, response.status, "upstream_error", _UNREADABLE, request_id=rid
    )


def _headers(relay: Relay, family: Family, rid: str, provider: str) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    kind = relay.watch.content_type
    for name, value in response_headers(family, relay.headers):
        if kind is None or name not in _OWN:
            headers.add(name.decode("latin-1"), value.decode("latin-1"))
    if kind is not None:
        headers["Content-Type"] = kind
    if not relay.watch.decoded:
        for name, value in relay.headers:
            if name == b"content-encoding":
                headers.add("Content-Encoding", value.decode("latin-1"))
    headers["x-request-id"] = rid
    if family is Family.ANTHROPIC:
        headers["request-id"] = rid
    headers["x-provider"] = provider
    headers["Server"] = SERVER_NAME
    return headers


_OWN: Final = frozenset((b"content-type", b"content-language"))  # of a body in the provider's dialect


def begin_stream(
    relay: Relay, family: Family, rid: str, provider: str, windows: Sequence[Window] = ()
) -> web.StreamResponse:
    """The response whose body the relay writes; ``windows`` are the caller's limits, for its headers."""
    headers = _headers(relay, family, rid, provider)
    if windows:
        headers.update(rate_limit_headers(windows))
    response = web.StreamResponse(status=relay.status, headers=headers)
    length = whole_number(_value(relay.headers, b"content-length"))
    if length is not None and not relay.watch.changes:
        response.content_length = length  # not for a body that may change
    return response


def begin_before_answer(family: Family, rid: str, windows: Sequence[Window] = ()) -> web.StreamResponse:
    """The response of an event stream that is begun by a sign of life: nobody has answered yet."""
    headers: CIMultiDict[str] = CIMultiDict(
        {
            "Content-Type": "text/event-stream; charset=utf-8",
            "Cache-Control": "no-cache",
            "Server": SERVER_NAME,
            "x-request-id": rid,
        }
    )
    if family is Family.ANTHROPIC:
        headers["request-id"] = rid
    headers.update(rate_limit_headers(windows))
    return web.StreamResponse(status=200, headers=headers)


def held_response(
    relay: Relay,
    family: Family,
    rid: str,
    provider: str,
    *,
    charge: int,
    balance: int,
    held: int,
    windows: Sequence[Window] = (),
) -> web.Response:
    """A whole answer, with what it cost and the caller's limits in its headers.

    Args:
        relay: The answer.
        family: Whose form the headers have.
        rid: The request.
        provider: Who answered.
        charge: Micro-credits.
        balance: The account's micro-credits before this charge, what running requests hold included.
        held: What other requests of the account hold.
        windows: The caller's limits.
    """
    headers = _headers(relay, family, rid, provider)
    if windows:
        headers.update(rate_limit_headers(windows))
    headers["x-credits-charged"] = str(charge)
    headers["x-credits-remaining"] = str(balance - charge)
    headers["x-credits-held"] = str(held)
    return web.Response(body=relay.held(), status=relay.status, headers=headers)


def rejected_response(
    relay: Relay,
    rejection: Rejection,
    family: Family,
    rid: str,
    provider: str,
    *,
    redaction: Redaction,
    windows: Sequence[Window] = (),
    translated: bool = False,
) -> web.Response:
    """A provider's error as the status that it means, less what names the operator's account: in the caller's dialect,
    which is the provider's own unless the request was ``translated``.
    """
    headers = _headers(relay, family, rid, provider)
    headers.popall("Content-Encoding", None)
    headers["x-error-origin"] = "provider"
    if windows:
        headers.update(rate_limit_headers(windows))
    if rejection.inside:
        headers["Content-Type"] = "application/json"
        if rejection.wait is not None:
            headers["Retry-After"] = str(max(1, round(rejection.wait)))
    body = redaction(rejection.body) if rejection.body is not None else None
    if body is None:
        headers["Content-Type"] = content_type(family)
        body = error_body(family, rejection.status, "upstream_error", _UNREADABLE, request_id=rid)
    elif translated:
        headers["Content-Type"] = content_type(family)
        body = translate_error(family, rejection.status, body, rid=rid)
    return web.Response(body=body, status=rejection.status, headers=headers)


_UNREADABLE: Final = "The provider refused the request with an error that is too long or unreadable."
