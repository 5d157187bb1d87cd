"""Maps a request's method and path to the operation that it asks for, whichever SDK built the path.

One origin serves every SDK, with and without a trailing ``/v1`` in the base URL: OpenAI's SDK appends
``/chat/completions``, Anthropic's ``/v1/messages``, Google's ``/v1beta/models/...``, so that the same
operation arrives with no version, with one, or with two.

Rules that everything here obeys:

1. Paths are looked up in tables; only the names of models are extracted from them.
2. Every path has a family, even an unknown path, so that an error has the form that its caller reads.
3. A path that is refused is in a table too, with a fixed sentence that says how to fix it.
4. This module knows only the providers' paths. The gateway looks up its own paths first.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final
from urllib.parse import unquote_to_bytes

from providers.dialect import Family, Operation
from providers.refused_paths import REFUSED, Why


class Surface(StrEnum):
    """The kind of a path; closed, so it may be logged and labelled."""

    INFERENCE = "inference"
    WEBSOCKET = "responses_websocket"  # the Responses API over a websocket: 426, so that clients fall back
    MODELS = "list_of_models"
    MODEL = "one_model"


class NotServed(StrEnum):
    """What kind of path has no `Route`; closed, so it may be logged and labelled."""

    UNKNOWN = "unknown_path"
    OTHER_METHOD = "path_without_this_method"
    REFUSED = "path_of_a_refused_feature"
    UNREADABLE = "unreadable_request"


@dataclass(frozen=True, slots=True)
class Route:
    """A path that is served.

    Attributes:
        surface: Its kind.
        family: The API whose form errors (and lists of models) have.
        operation: Set only for `Surface.INFERENCE`.
        name: The model in the path; decoded, not checked.
    """

    surface: Surface
    family: Family
    operation: Operation | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Canonical:
    """A path in its canonical spelling.

    Attributes:
        path: Decoded, without empty segments and without a trailing slash.
        version: The part before ``rest``: empty for ``/v1`` (once or repeated) or no version, else Google's version
            (``/v1beta``), ``/upload`` or ``/ws``.
        rest: The part after the version, with its leading slash; empty if there is none.
    """

    path: str
    version: str
    rest: str


@dataclass(frozen=True, slots=True)
class PathFault:
    """The error for a path that is not served. ``allow`` is the ``Allow`` header of a 405."""

    status: int
    code: str
    message: str
    family: Family
    allow: tuple[str, ...] = ()

    @property
    def kind(self) -> NotServed:
        if self.status == 404:
            return NotServed.UNKNOWN
        if self.status == 405:
            return NotServed.OTHER_METHOD
        return NotServed.UNREADABLE if self.message == _ENCODING else NotServed.REFUSED


_NOT_FOUND: Final = (
    "There is nothing at this path. Set the SDK's base URL to this server's origin, with or without /v1."
)
_METHOD: Final = "This path does not accept this method."
_ENCODING: Final = "This path is not validly encoded."
_VERSION: Final = "Only v1beta and v1 of this API are served: set the SDK's API version to v1beta."
_POST: Final[Mapping[str, Route]] = {
    "/chat/completions": Route(Surface.INFERENCE, Family.OPENAI, Operation.OPENAI_CHAT),
    "/responses": Route(Surface.INFERENCE, Family.OPENAI, Operation.OPENAI_RESPONSES),
    "/responses/compact": Route(Surface.INFERENCE, Family.OPENAI, Operation.OPENAI_COMPACT),
    "/responses/input_tokens": Route(Surface.INFERENCE, Family.OPENAI, Operation.OPENAI_INPUT_TOKENS),
    "/completions": Route(Surface.INFERENCE, Family.OPENAI, Operation.OPENAI_COMPLETIONS),
    "/embeddings": Route(Surface.INFERENCE, Family.OPENAI, Operation.OPENAI_EMBEDDINGS),
    "/messages": Route(Surface.INFERENCE, Family.ANTHROPIC, Operation.ANTHROPIC_MESSAGES),
    "/messages/count_tokens": Route(Surface.INFERENCE, Family.ANTHROPIC, Operation.ANTHROPIC_COUNT_TOKENS),
}
_VERBS: Final[Mapping[str, Operation]] = {
    "generateContent": Operation.GEMINI_GENERATE,
    "streamGenerateContent": Operation.GEMINI_STREAM,
    "countTokens": Operation.GEMINI_COUNT_TOKENS,
    "embedContent": Operation.GEMINI_EMBED,
    "batchEmbedContents": Operation.GEMINI_BATCH_EMBED,
}
_GET: Final[Mapping[str, Route]] = {
    "/responses": Route(Surface.WEBSOCKET, Family.OPENAI),
    "/models": Route(Surface.MODELS, Family.OPENAI),
}
_GOOGLE_MODELS: Final = Route(Surface.MODELS, Family.GOOGLE)

_PREFIXES: Final = ("", "/v1", "/v1/v1")
_GOOGLE_PREFIXES: Final = ("/v1beta", "/v1/v1beta", "/v1beta/v1beta", "/v1beta/v1")
_MULTIPLE: Final = re.compile("/{2,}")
_VERSIONS: Final = re.compile(
    r"(?:/v1(?![a-z0-9_.-]))*(/v1[a-z][a-z0-9]*|/(?:upload|ws)(?=/|$))?(?:/v1(?:beta)?(?![a-z0-9_.-]))*"
)

_LOOK_UP: Final[Mapping[tuple[str, str], Route]] = MappingProxyType(
    {("POST", prefix + path): route for prefix in _PREFIXES for path, route in _POST.items()}
    | {("GET", prefix + path): route for prefix in _PREFIXES for path, route in _GET.items()}
    | {("GET", prefix + "/models"): _GOOGLE_MODELS for prefix in _GOOGLE_PREFIXES}
)


def served() -> Iterator[tuple[str, str, Route]]:
    """Every path that is served: method, usual spelling, route. ``{model}`` is the place of a model's name; a path that
    APIs share has OpenAI's route.
    """
    for method, table in (("POST", _POST), ("GET", _GET)):
        for path, route in table.items():
            yield method, f"/v1{path}", route
    yield "GET", "/v1/models/{model}", Route(Surface.MODEL, Family.OPENAI)
    yield "GET", "/v1beta/models", _GOOGLE_MODELS
    yield "GET", "/v1beta/models/{model}", Route(Surface.MODEL, Family.GOOGLE)
    for verb, operation in _VERBS.items():
        yield "POST", f"/v1beta/models/{{model}}:{verb}", Route(Surface.INFERENCE, Family.GOOGLE, operation)


def resolve(method: str, path: str, hint: Family | None = None) -> Route | PathFault:
    """The route of a request, or the error for it.

    Args:
        method: As sent, upper case.
        path: The path as sent (percent-encoded), without the query.
        hint: The family that the headers show (`family_of_headers`): OpenAI, Anthropic and Google
            share ``/v1/models`` and ``/v1/files``.
    """
    route = _LOOK_UP.get((method, path))
    if route is not None:
        if hint is None or route.surface is not Surface.MODELS:
            return route
        return Route(Surface.MODELS, hint)
    return _resolve_slowly(method, path, hint)


def family_of_headers(names: Mapping[str, object]) -> Family | None:
    """The family that a request's headers show; ``names`` must have its names in lower case."""
    if "anthropic-version" in names:
        return Family.ANTHROPIC
    if "x-goog-api-key" in names or "x-goog-api-client" in names:
        return Family.GOOGLE
    return None


def canonical(path: str) -> Canonical | None:
    """The canonical spelling of a path, or None if its percent-encoding is not UTF-8."""
    if "%" in path:
        try:
            path = unquote_to_bytes(path).decode()
        except UnicodeDecodeError:
            return None
    if "//" in path:
        path = _MULTIPLE.sub("/", path)
    if len(path) > 1:
        path = path.removesuffix("/")
    versions = _VERSIONS.match(path)
    if versions is None:
        return Canonical(path, "", path)
    return Canonical(path, versions[1] or "", path[versions.end() :])


def _resolve_slowly(method: str, path: str, hint: Family | None) -> Route | PathFault:
    found = canonical(path)
    if found is None:
        return PathFault(400, "invalid_request", _ENCODING, hint or Family.OPENAI)
    if (method, found.path) in _LOOK_UP:
        return resolve(method, found.path, hint)
    version, rest = found.version, found.rest
    family = _family(version, rest, hint)
    if version in ("/upload", "/ws") or (version not in ("", "/v1beta") and family is Family.GOOGLE):
        return _refused(version, rest, family)
    return (
        _model(method, version, rest, hint) or _known(method, version, rest, family) or _refused(version, rest, family)
    )


def _family(version: str, rest: str, hint: Family | None) -> Family:
    if version == "/v1beta" and rest.startswith("/openai/"):
        return Family.OPENAI
    if version:
        return Family.GOOGLE
    if rest.startswith(("/messages", "/complete/")) or rest == "/complete":
        return Family.ANTHROPIC
    if rest.startswith("/models/") and ":" in rest:
        return Family.GOOGLE
    if rest.startswith("/projects/") and "/publishers/" in rest:
        return Family.GOOGLE
    return hint or Family.OPENAI


def _model(method: str, version: str, rest: str, hint: Family | None) -> Route | PathFault | None:
    if not rest.startswith("/models/"):
        return None
    name = rest[len("/models/") :]
    model, colon, verb = name.rpartition(":")
    if colon and not model:
        return PathFault(404, "not_found", _NOT_FOUND, Family.GOOGLE)
    if colon:
        operation = _VERBS.get(verb)
        if operation is not None:
            if method != "POST":
                return PathFault(405, "method_not_allowed", _METHOD, Family.GOOGLE, ("POST",))
            return Route(Surface.INFERENCE, Family.GOOGLE, operation, model)
        why = REFUSED[Family.GOOGLE].get(f":{verb}")
        if why is not None:
            return _fault(why, Family.GOOGLE)
        if method == "POST":
            return PathFault(404, "not_found", _NOT_FOUND, Family.GOOGLE)
    family = Family.GOOGLE if version else hint or Family.OPENAI
    if method == "GET":
        return Route(Surface.MODEL, family, name=name)
    return PathFault(405, "method_not_allowed", _METHOD, family, ("GET",))


def _known(method: str, version: str, rest: str, family: Family) -> PathFault | None:
    allowed = tuple(
        name
        for name, table in (("GET", _GET), ("POST", _POST))
        if name != method and rest in table and not (version and rest != "/models")
    )
    if not allowed:
        return None
    return PathFault(405, "method_not_allowed", _METHOD, family, allowed)


def _refused(version: str, rest: str, family: Family) -> PathFault:
    first = "/" + rest[1:].split("/", 1)[0].split(":", 1)[0]
    table = REFUSED[family]
    for name in (version, version + first, "/".join(rest.split("/", 3)[:3]), first):
        why = table.get(name)
        if why is not None:
            return _fault(why, family)
    if family is Family.GOOGLE and version not in ("", "/v1beta"):
        return PathFault(404, "not_found", _VERSION, family)
    return PathFault(404, "not_found", _NOT_FOUND, family)


def _fault(why: Why, family: Family) -> PathFault:
    return PathFault(400, why.code, why.message, family)
