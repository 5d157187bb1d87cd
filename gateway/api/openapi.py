"""The public listener as OpenAPI 3.1: the providers' paths and the gateway's own.

Rules:

1. The paths are those of the tables that requests are looked up in, and no others.
2. Requests and answers of a provider's API are objects with a link to the provider's reference, since the gateway
   passes them on. Only members that the gateway itself needs are described.
3. The gateway's own answers have the types that it encodes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from importlib.metadata import version
from typing import Final, TypeAlias

import msgspec

from gateway import errors
from gateway.api import openapi_parts as parts
from gateway.api.openapi_parts import NUMBER, TEXT, Json, body
from gateway.api.shapes import OwnAccount, PendingRequest, VoidedRequest
from gateway.errors import GatewayError
from gateway.evidence.statement import WELL_KNOWN
from gateway.http.answers import Problem
from gateway.oauth import paths as oauth
from gateway.portal.paths import DOCUMENTS, LANDING, PagePath
from metering.usage import UsageRecord
from providers.dialect import Family, Operation
from providers.paths import Route, Surface, served

Errors: TypeAlias = tuple[type[GatewayError], ...]

_OPENAI: Final = "https://developers.openai.com/api/docs/api-reference/"
_ANTHROPIC: Final = "https://platform.claude.com/docs/en/api/"
_GOOGLE: Final = "https://ai.google.dev/api/"
_HELLO: Final = [{"role": "user", "content": "Hello"}]
_CONTENT: Final = {"role": "user", "parts": [{"text": "Hello"}]}
_MODELS: Final = {
    Family.OPENAI: ("gpt-6.1-terra", "text-embedding-3-small"),
    Family.ANTHROPIC: ("claude-sonnet-5-5", ""),
    Family.GOOGLE: ("gemini-3.8-flash", "gemini-embedding-001"),
}
"""Of the examples: a model that converses and one that embeds."""


@dataclass(frozen=True, slots=True)
class _Described:
    """An operation of a provider's API.

    Attributes:
        summary: What it does, in a few words.
        reference: The provider's page.
        example: A request that is served, without its model.
        streams: Whether the answer may be an event stream; None if it always is one or a JSON array.
        embeds: The model is one that embeds.
    """

    summary: str
    reference: str
    example: Json
    streams: bool | None = False
    embeds: bool = False


_DESCRIBED: Final[Mapping[Operation, _Described]] = {
    Operation.OPENAI_CHAT: _Described("Chat Completions", f"{_OPENAI}chat/create", {"messages": _HELLO}, streams=True),
    Operation.OPENAI_RESPONSES: _Described("Responses", f"{_OPENAI}responses/create", {"input": "Hello"}, streams=True),
    Operation.OPENAI_COMPACT: _Described(
        "Compact the items of a response", f"{_OPENAI}responses/compact", {"input": _HELLO}
    ),
    Operation.OPENAI_INPUT_TOKENS: _Described(
        "Count the input tokens of a response", f"{_OPENAI}responses/input-tokens", {"input": "Hello"}
    ),
    Operation.OPENAI_COMPLETIONS: _Described(
        "Completions, also in the middle of a text", f"{_OPENAI}completions/create", {"prompt": "Hello"}, streams=True
    ),
    Operation.OPENAI_EMBEDDINGS: _Described(
        "Embeddings", f"{_OPENAI}embeddings/create", {"input": "Hello"}, embeds=True
    ),
    Operation.ANTHROPIC_MESSAGES: _Described(
        "Messages", f"{_ANTHROPIC}messages", {"max_tokens": 64, "messages": _HELLO}, streams=True
    ),
    Operation.ANTHROPIC_COUNT_TOKENS: _Described(
        "Count the input tokens of a message", f"{_ANTHROPIC}messages/count_tokens", {"messages": _HELLO}
    ),
    Operation.GEMINI_GENERATE: _Described(
        "Generate content", f"{_GOOGLE}generate-content#method:-models.generatecontent", {"contents": [_CONTENT]}
    ),
    Operation.GEMINI_STREAM: _Described(
        "Generate content, streamed",
        f"{_GOOGLE}generate-content#method:-models.streamgeneratecontent",
        {"contents": [_CONTENT]},
        streams=None,
    ),
    Operation.GEMINI_COUNT_TOKENS: _Described("Count input tokens", f"{_GOOGLE}tokens", {"contents": [_CONTENT]}),
    Operation.GEMINI_EMBED: _Described("Embed content", f"{_GOOGLE}embeddings", {"content": _CONTENT}, embeds=True),
    Operation.GEMINI_BATCH_EMBED: _Described(
        "Embed several contents",
        f"{_GOOGLE}embeddings#method:-models.batchembedcontents",
        {"requests": [{"model": "models/gemini-embedding-001", "content": _CONTENT}]},
        embeds=True,
    ),
}

_ANY: Final[Errors] = (errors.InvalidRequest, errors.RateLimited, errors.HeadersTooLarge, GatewayError)
_TOKEN: Final[Errors] = (
    *_ANY,
    errors.TokenInvalid,
    errors.TokenExpired,
    errors.TokenRevoked,
    errors.InsufficientScope,
    errors.MeteringUnavailable,
)
_LISTED: Final[Errors] = (*_TOKEN, errors.LocalMode)
_BODY: Final[Errors] = (
    errors.RequestTimeout,
    errors.RequestTooLarge,
    errors.UnsupportedEncoding,
    errors.ConcurrencyLimited,
    errors.Overloaded,
)
_INFERENCE: Final[Errors] = (
    *_LISTED,
    *_BODY,
    errors.UnsupportedFeature,
    errors.PrivacyUnsupported,
    errors.Superseded,
    errors.CreditsExhausted,
    errors.ModelNotInPlan,
    errors.RegionUnavailable,
    errors.RetentionUnavailable,
    errors.AccountRestricted,
    errors.AppUpgradeRequired,
    errors.ModelNotFound,
    errors.ProviderUnavailable,
    errors.Draining,
    errors.UpstreamError,
    errors.UpstreamTimeout,
)
_ALSO: Final[Mapping[Family, Errors]] = {
    Family.OPENAI: (),
    Family.ANTHROPIC: (errors.ThreadUnsupported,),
    Family.GOOGLE: (errors.NotFound,),  # a path without a model's name
}
_TAGS: Final = {
    Family.OPENAI: "OpenAI's API",
    Family.ANTHROPIC: "Anthropic's API",
    Family.GOOGLE: "Google's API",
}
_OWN: Final = "The caller's account"
_SIGN_IN: Final = "Sign-in of programs"
_PAGES: Final = "Pages for people"


def document() -> Json:
    """The document; its schemas are JSON Schema 2020-12, as OpenAPI 3.1 takes them."""
    types = (OwnAccount, PendingRequest, VoidedRequest, UsageRecord, Problem)
    shown, schemas = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    del shown  # each is a reference to the component of its name
    schemas["SettledRequest"] = _settled(schemas["UsageRecord"])
    signature = body(dict.fromkeys(("algorithm", "public_key", "value"), TEXT))
    schemas["Signed"] = body({"document": body({}), "signature": signature})
    paths: dict[str, Json] = {}
    for method, path, operation in (*_providers(), *_own(), *_sign_in(), *_pages()):
        paths.setdefault(path, {})[method.lower()] = operation
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "CodeGrex gateway",
            "version": version("codegrex-gateway"),
            "description": (
                "One origin for the SDKs of OpenAI, Anthropic and Google: change their base URL and key. Each path is "
                "also served without /v1, and with it twice. Amounts are integer micro-credits, times Unix "
                "milliseconds. See docs/ide.md."
            ),
        },
        "servers": [{"url": "/"}],
        "paths": paths,
        "components": {"schemas": {**schemas, **parts.ERRORS}, "securitySchemes": parts.SCHEMES},
        "security": [{name: []} for name in parts.SCHEMES],
    }


def _settled(record: Json) -> Json:
    """A usage record as ``GET /v1/requests/{rid}`` shows it."""
    properties = {"status": {"enum": ["settled"]}, **record["properties"]}
    return {**record, "title": "SettledRequest", "properties": properties, "required": ["status", *record["required"]]}


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


_EVENTS: Final = "text/event-stream"  # whose events are the provider's


def _answer(description: str, schema: Json, headers: Mapping[str, Json], *kinds: str) -> Json:
    forms = {_EVENTS: {}, **{kind: {"schema": TEXT} for kind in kinds if kind.startswith("text/") and kind != _EVENTS}}
    content = {kind: forms.get(kind, {"schema": schema}) for kind in kinds}
    shown: Json = {"description": description, "headers": {**parts.ALWAYS, **headers}}
    return shown | ({"content": content} if content else {})


def _refusals(found: Iterable[type[GatewayError]], schema: str, kind: str = "application/json") -> Json:
    """The answers of these errors, by status, with the codes that each may have."""
    codes: dict[int, list[str]] = {}
    for error in found:
        names = codes.setdefault(error.status, [])
        if error.code not in names:
            names.append(error.code)
    return {
        str(status): _answer(
            ", ".join(f"`{code}`" for code in names) + ".",
            _ref(schema),
            {
                **parts.ERROR,
                **(parts.LIMITS if status == HTTPStatus.TOO_MANY_REQUESTS else {}),
                **parts.OF_STATUS.get(status, {}),
                "x-error-code": parts.header("The stable code of the gateway's error.", {"enum": names}),
            },
            kind,
        )
        for status, names in sorted(codes.items())
    }


def _model(path: str, example: str) -> list[Json]:
    if "{model}" not in path:
        return []
    what = "The model's name, as the list of models has it."
    return [{"name": "model", "in": "path", "required": True, "description": what, "schema": TEXT, "example": example}]


def _field(name: str, description: str, schema: Json = TEXT) -> Json:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": schema}


def _providers() -> Iterable[tuple[str, str, Json]]:
    for method, path, route in served():
        if route.operation is not None:
            yield method, path, _inference(path, route.operation)
        elif route.surface is Surface.WEBSOCKET:
            yield method, path, _websocket()
        else:
            yield method, path, _models(path, route)


def _inference(path: str, operation: Operation) -> Json:
    family, described = operation.family, _DESCRIBED[operation]
    found = (*_INFERENCE, *_ALSO[family])
    model = _MODELS[family][described.embeds]
    named = family is not Family.GOOGLE
    schema = body({"model": TEXT}, externalDocs=_page(described)) if named else body({}, externalDocs=_page(described))
    parameters = [*_model(path, model), *parts.REQUEST_HEADERS]
    if family is Family.GOOGLE:
        parameters.append(_field("alt", "The form of a stream.", {"enum": ["sse", "json"]}))
    kinds = ["application/json"] if described.streams is not None else ["application/json", _EVENTS]
    if described.streams:
        kinds.append(_EVENTS)
    schema_of_answer = {"externalDocs": _page(described)}
    headers = {**parts.ANSWER, **parts.LIMITS, **parts.CHARGED}
    return {
        "operationId": operation.value.replace(".", "_"),
        "tags": [_TAGS[family]],
        "summary": described.summary,
        "externalDocs": _page(described),
        "parameters": parameters,
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": schema,
                    "example": ({"model": model} if named else {}) | described.example,
                }
            },
        },
        "responses": {
            "200": _answer("The provider's answer.", schema_of_answer, headers, *kinds),
            **_refusals(found, parts.ERROR_NAMES[family]),
            "default": _answer(
                "The provider's error, without identifiers of the operator's account.",
                _ref(parts.ERROR_NAMES[family]),
                {**parts.ERROR, **parts.LIMITS},
                "application/json",
            ),
        },
    }


def _page(described: _Described) -> Json:
    return {"url": described.reference}


def _websocket() -> Json:
    return {
        "operationId": "responses_websocket",
        "tags": [_TAGS[Family.OPENAI]],
        "summary": "Responses over a WebSocket: refused, so that clients fall back to HTTP streaming",
        "security": [],
        "responses": _refusals((*_ANY, errors.UpgradeRequired), parts.ERROR_NAMES[Family.OPENAI]),
    }


def _models(path: str, route: Route) -> Json:
    """Lists of models; under ``/v1`` an answer, or an error, has the form of the API that the headers name."""
    one = route.surface is Surface.MODEL
    google = route.family is Family.GOOGLE
    families = (Family.GOOGLE,) if google else tuple(Family)
    found = (*_LISTED, errors.ModelNotFound, errors.NotFound) if one else _LISTED
    errors_of = _refusals(found, parts.ERROR_NAMES[route.family])
    if not google:
        schema = {"anyOf": [_ref(parts.ERROR_NAMES[family]) for family in families]}
        for answer in errors_of.values():
            answer["content"]["application/json"]["schema"] = schema
    parameters = [*_model(path, _MODELS[route.family][0]), *parts.PLACES]
    paging = {Family.GOOGLE: ("pageSize", "pageToken"), Family.ANTHROPIC: ("limit", "after_id", "before_id")}
    if not one:
        pages = [(name, _TAGS[family]) for family in families for name in paging.get(family, ())]
        parameters += [_field(name, f"Paging, as {api} has it.") for name, api in pages]
    if not google:
        parameters.append(parts.asked("anthropic-version", "With it the answer has the form of Anthropic's API."))
        parameters.append(parts.asked("x-goog-api-client", "With it the answer has the form of Google's API."))
    return {
        "operationId": f"{'google_' if google else ''}{'model' if one else 'models'}",
        "tags": [_TAGS[route.family]],
        "summary": "One model" if one else "The models that the caller may use",
        "parameters": parameters,
        "responses": {
            "200": _answer("In the form of the API.", {"type": "object"}, {}, "application/json"),
            **errors_of,
        },
    }


_PROBLEM: Final = ("Problem", "application/problem+json")


def _own() -> Iterable[tuple[str, str, Json]]:
    read = {"tags": [_OWN]}
    yield (
        "GET",
        "/v1/account",
        {
            **read,
            "operationId": "account",
            "summary": "Credits, limits and when they refill, and what the policy leaves",
            "responses": {
                "200": _answer("The account.", _ref("OwnAccount"), {}, "application/json"),
                **_refusals(_TOKEN, *_PROBLEM),
            },
        },
    )
    states = {"anyOf": [_ref(name) for name in ("PendingRequest", "VoidedRequest", "SettledRequest", "Signed")]}
    yield (
        "GET",
        "/v1/requests/{rid}",
        {
            **read,
            "operationId": "usage_record",
            "summary": "The usage record of one request, or its state until it is settled",
            "parameters": [
                {
                    "name": "rid",
                    "in": "path",
                    "required": True,
                    "schema": TEXT,
                    "description": "The `x-request-id` of the request's answer.",
                },
                _field("receipt", "`1` asks for a signed receipt.", {"enum": ["1"]}),
            ],
            "responses": {
                "200": _answer("The record, its state, or a receipt.", states, {}, "application/json"),
                **_refusals((*_TOKEN, errors.NotFound), *_PROBLEM),
            },
        },
    )
    yield (
        "GET",
        WELL_KNOWN,
        {
            **read,
            "operationId": "privacy_statement",
            "summary": "The gateway's signed statement about itself",
            "security": [],
            "responses": {
                "200": _answer("The statement.", _ref("Signed"), {}, "application/json"),
                **_refusals(_ANY, *_PROBLEM),
            },
        },
    )


_CLIENT: Final[Json] = {**TEXT, "description": "A public client.", "example": oauth.CLIENT}


def _sign_in() -> Iterable[tuple[str, str, Json]]:
    fields: Json = {"client_id": _CLIENT, "app_version": TEXT, "platform": TEXT, "scope": TEXT}
    started = body(
        {
            "device_code": TEXT,
            "user_code": TEXT,
            "verification_uri": TEXT,
            "verification_uri_complete": TEXT,
            "expires_in": NUMBER,
            "interval": NUMBER,
        }
    )
    yield (
        "POST",
        oauth.DEVICE_AUTHORIZATION,
        _form("device_authorization", "Begin a device login (RFC 8628)", fields, ("client_id",), started),
    )
    grants = {"grant_type": {"enum": [oauth.DEVICE_GRANT, oauth.REFRESH_GRANT]}}
    fields = {**grants, "client_id": _CLIENT, "device_code": TEXT, "refresh_token": TEXT, "app_version": TEXT}
    tokens = body(
        {
            "access_token": TEXT,
            "token_type": {"enum": ["Bearer"]},
            "expires_in": NUMBER,
            "refresh_token": TEXT,
            "scope": TEXT,
        }
    )
    yield (
        "POST",
        oauth.TOKEN,
        _form("token", "Tokens for a device code or a refresh token", fields, ("grant_type",), tokens),
    )
    fields = {"token": TEXT, "token_type_hint": TEXT}
    yield (
        "POST",
        oauth.REVOCATION,
        _form("revoke", "Revoke a session by one of its tokens (RFC 7009)", fields, ("token",), body({})),
    )
    lists = {"type": "array", "items": TEXT}
    names = ("issuer", "device_authorization_endpoint", "token_endpoint", "revocation_endpoint")
    more = (
        "grant_types_supported",
        "response_types_supported",
        "scopes_supported",
        "token_endpoint_auth_methods_supported",
        "revocation_endpoint_auth_methods_supported",
    )
    metadata = body({**dict.fromkeys(names, TEXT), **dict.fromkeys(more, lists)})
    yield (
        "GET",
        oauth.METADATA,
        {
            "operationId": "authorization_server_metadata",
            "tags": [_SIGN_IN],
            "summary": "Where the endpoints are (RFC 8414)",
            "security": [],
            "responses": {
                "200": _answer("The metadata.", metadata, {}, "application/json"),
                **_refusals(_ANY, parts.OAUTH_ERROR),
            },
        },
    )


_FORM: Final[Errors] = (*_ANY, *_BODY, errors.Unauthorized, errors.MeteringUnavailable)


def _form(name: str, summary: str, fields: Json, required: tuple[str, ...], answer: Json) -> Json:
    """An endpoint that takes a form; its errors have the codes of RFC 6749 and RFC 8628."""
    refused = {
        str(status): _answer(
            "An error of RFC 6749 or RFC 8628.", _ref(parts.OAUTH_ERROR), parts.ERROR, "application/json"
        )
        for status in sorted({error.status for error in _FORM})
    }
    sent = {"application/x-www-form-urlencoded": {"schema": body(fields, required=required)}}
    return {
        "operationId": name,
        "tags": [_SIGN_IN],
        "summary": summary,
        "security": [],
        "requestBody": {"required": True, "content": sent},
        "responses": {"200": _answer("Success.", answer, {}, "application/json"), **refused},
    }


_READ: Final = {
    LANDING: "What this is, the base URLs and where everything else is",
    DOCUMENTS: "The documents of this version",
    f"{DOCUMENTS}{{name}}": "One of them",
    PagePath.DEVICE: "Enter the code that an IDE or agent shows",
    PagePath.ACCOUNT: "Credits, usage, sessions, tokens. With a token in a header, the answer of `/v1/account`",
    PagePath.SIGN_IN: "Sign in at the configured service",
    PagePath.CALLBACK: "The way back from it",
    PagePath.STYLE: "The style sheet of the pages",
    PagePath.SCRIPT: "The script of the pages",
}
_POSTED: Final = {
    PagePath.DEVICE: "Accept or refuse a device",
    PagePath.REVOKE: "End a session",
    PagePath.REVOKE_ALL: "End all sessions",
    PagePath.POLICY: "Choose mode, region and retention",
    PagePath.TOKEN: "Make or end a personal access token",
    PagePath.EXPORT: "Everything that is stored about the person",
    PagePath.DELETE: "Delete the account",
    PagePath.SESSION: "Begin a session of the portal with the sign-in service's token",
    PagePath.DEVELOPMENT: "Sign in on this machine, without a sign-in service",
    PagePath.SIGN_OUT: "End the session of the portal",
}


_KINDS: Final = ("text/html", "text/css", "text/javascript", "text/csv", "application/json")


def _pages() -> Iterable[tuple[str, str, Json]]:
    """Pages and their forms, which only browsers ask for: a cookie and a token in the form say who it is."""
    for method, table in (("GET", _READ), ("POST", _POSTED)):
        for path, summary in table.items():
            parameters = [{"name": "name", "in": "path", "required": True, "schema": TEXT, "example": "README.md"}]
            refused: Json = {
                "description": "Refused.",
                "headers": {**parts.ALWAYS, **parts.ERROR},
                "content": {"text/html": {"schema": TEXT}, _PROBLEM[1]: {"schema": _ref(_PROBLEM[0])}},
            }
            yield (
                method,
                str(path),
                {
                    "operationId": method.lower() + "_page" + re.sub(r"\W+", "_", path).rstrip("_"),
                    "tags": [_PAGES],
                    "summary": summary,
                    "security": [],
                    **({"parameters": parameters} if "{name}" in path else {}),
                    "responses": {
                        "200": _answer("A page, a file or data.", {}, {}, *_KINDS),
                        "303": _answer("Another page.", {}, {"Location": parts.header("Its address.")}),
                        "4XX": refused,
                        "5XX": refused,
                    },
                },
            )
