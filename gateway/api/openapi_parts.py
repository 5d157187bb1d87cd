"""Parts of the OpenAPI document that many operations share: headers, error bodies, schemes of authentication."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from gateway.auth.policy import MODE_HEADER, REGION_HEADER
from gateway.auth.principal import Mode
from gateway.auth.retention import RETENTION_HEADER
from gateway.config import Region
from gateway.evidence.statement import RECEIPT_HEADER
from gateway.http.answers import TOOLS_REMOVED
from gateway.http.request import TOKEN_HEADERS
from gateway.inference import exchange, lanes
from providers.dialect import Family

Json = dict[str, Any]

TEXT: Final[Json] = {"type": "string"}
NUMBER: Final[Json] = {"type": "integer"}

SCHEMES: Final[Json] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "As OpenAI's SDKs send it."},
    **{
        name: {"type": "apiKey", "in": "header", "name": name, "description": f"As {who}'s SDKs send it."}
        for name, who in zip(TOKEN_HEADERS[1:], ("Anthropic", "Google"), strict=True)
    },
}
"""Where the token may be. The first valid one of a request is used."""


def header(description: str, schema: Json = TEXT, *, required: bool = False) -> Json:
    """The description of a header of an answer."""
    return {"description": description, "schema": schema} | ({"required": True} if required else {})


REQUEST_ID: Final = "x-request-id"
ALWAYS: Final[Mapping[str, Json]] = {
    REQUEST_ID: header("The id of this request, for support and `GET /v1/requests/{rid}`.", required=True)
}
LIMITS: Final[Mapping[str, Json]] = {
    "RateLimit": header("What is left of each limit of the plan, and when it refills, in seconds."),
    "RateLimit-Policy": header("The limits of the plan."),
}
ERROR: Final[Mapping[str, Json]] = {
    "x-error-origin": header("Who refused.", {"enum": ["gateway", "provider"]}),
    "x-should-retry": header("Whether repeating the request makes sense; SDKs obey it.", {"enum": ["true", "false"]}),
    "Retry-After": header("Seconds after which the same request may succeed.", NUMBER),
}
ANSWER: Final[Mapping[str, Json]] = {
    "x-provider": header("The provider that answered, by its name in the configuration."),
    exchange.ATTEMPTS: header("How often the request was sent to providers, if more than once.", NUMBER),
    exchange.OUTPUT_LIMIT: header("The gateway limited the answer to that many tokens, since credit pays for no more."),
    exchange.MEMBERS_REMOVED: header("Members that the gateway removed from the request."),
    exchange.TRANSLATION_DROPPED: header("Members that the API of the model's provider has no counterpart for."),
    exchange.REASONING_DROPPED: header("`true`: the provider got the conversation without its earlier reasoning."),
    TOOLS_REMOVED: header("Tools at the provider that the operator does not allow, and that were removed."),
}
CHARGED: Final[Mapping[str, Json]] = {
    "x-credits-charged": header("Micro-credits. Only if the gateway held the answer until it was complete.", NUMBER),
    "x-credits-remaining": header("Micro-credits after this charge.", NUMBER),
    "x-credits-held": header("The part of them that other running requests hold.", NUMBER),
    RECEIPT_HEADER: header("A signed receipt, if the request has `x-receipt: 1` and the answer was held."),
}
OF_STATUS: Final[Mapping[int, Mapping[str, Json]]] = {
    401: {"WWW-Authenticate": header("RFC 6750: what is wrong with the token.")},
    402: {f"x-credits-{name}": header("Micro-credits.", NUMBER) for name in ("needed", "held", "available")},
    403: {"x-min-app-version": header("With `app_upgrade_required`: the lowest version that is accepted.")},
    426: {"Upgrade": header("What the path speaks.")},
}


def asked(name: str, description: str, schema: Json = TEXT) -> Json:
    """A header that a request may have."""
    return {"name": name, "in": "header", "required": False, "description": description, "schema": schema}


PLACES: Final = [
    asked(MODE_HEADER, "`local` refuses this request; a header never loosens a policy.", {"enum": [*Mode]}),
    asked(REGION_HEADER, "Only providers in this region.", {"enum": [*Region]}),
    asked(
        RETENTION_HEADER,
        "Only providers that keep prompts for no longer than this many days.",
        {"type": "integer", "minimum": 0},
    ),
]
"""Where and for how long a prompt may be kept, for requests and for lists of models."""

REQUEST_HEADERS: Final = [
    *PLACES,
    asked(
        lanes.HEADER,
        "The slot of an autocomplete request: a newer request with the same number replaces it.",
        {"type": "integer", "minimum": 0, "maximum": lanes.HIGHEST_SLOT},
    ),
    asked(RECEIPT_HEADER, "`1` asks for a signed receipt.", {"enum": ["1"]}),
]


def body(members: Mapping[str, Json], *, required: Iterable[str] | None = None, **more: object) -> Json:
    """An object, whose members are all required if nothing else is said."""
    names = list(members if required is None else required)
    return {"type": "object", "properties": dict(members), "required": names, **more}


def _google() -> Json:
    details = {"type": "array", "items": {"type": "object"}}
    error = body({"code": NUMBER, "message": TEXT, "status": TEXT, "details": details}, required=("message",))
    return body({"error": error})


def _anthropic() -> Json:
    details = body({"error_code": TEXT, "param": TEXT}, required=())
    error = body({"type": TEXT, "message": TEXT, "details": details}, required=("type", "message"))
    return body({"type": {"enum": ["error"]}, "error": error, "request_id": TEXT}, required=("type", "error"))


def _openai() -> Json:
    unset = {"type": ["string", "null"]}
    error = body(
        {"message": TEXT, "type": unset, "param": unset, "code": {"type": ["string", "integer", "null"]}},
        required=("message",),
    )
    return body({"error": error})


ERROR_NAMES: Final[Mapping[Family, str]] = {
    Family.OPENAI: "OpenAIError",
    Family.ANTHROPIC: "AnthropicError",
    Family.GOOGLE: "GoogleError",
}
OAUTH_ERROR: Final = "OAuthError"
ERRORS: Final[Json] = {
    "OpenAIError": _openai(),
    "AnthropicError": _anthropic(),
    "GoogleError": _google(),
    OAUTH_ERROR: body({"error": TEXT, "error_description": TEXT, "code": TEXT}, required=("error",)),
}
"""The gateway's errors, and those of providers, in the form of each API. The gateway's code is in ``error.code``,
``error.details.error_code`` and the ``reason`` of ``ErrorInfo``, and in the header ``x-error-code``.
"""
