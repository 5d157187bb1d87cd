"""The catalog as each API lists models: OpenAI, Anthropic and Google shapes, paged as each pages.

Rules:

1. A list contains the models that the caller can use: by plan, models, region and retention
   (`gateway.inference.admission.offered`), and not switched off by its maker (`gateway.catalog.lifecycle`). Those that
   are served in the dialect of the list come first, then those that its requests are translated for.
2. What a model can do, and its limits, are shown as far as they are stated: in the API's own members if it has them
   (Anthropic's ``capabilities``, ``max_input_tokens``, ``max_tokens``; Google's ``thinking`` and limits), else in
   further members, which SDKs pass on (OpenAI's list).
3. A deprecated model is marked in the API's own way, with its last day if that is known: OpenAI's ``shutdown_date``,
   Anthropic's ``lifecycle`` and ``retires_at``, Google's ``description``.

Sources: OpenAI ``GET /v1/models`` (not paged), Anthropic ``GET /v1/models`` (``limit``, ``after_id``,
``before_id``), Google ``GET /v1beta/models`` (``pageSize``, ``pageToken``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime
from typing import Any, Final

import orjson
from aiohttp import web
from multidict import CIMultiDict, CIMultiDictProxy

from gateway.auth import policy, retention
from gateway.auth.principal import Principal
from gateway.catalog.capabilities import longest_answer, of_any, thinking_types
from gateway.catalog.catalog import Catalog, CatalogTarget, Model
from gateway.catalog.lifecycle import Lifecycle, lasting_name
from gateway.config import Capability, Config
from gateway.errors import InvalidRequest, ModelNotFound
from gateway.http.answers import json_response
from gateway.http.fields import first_of
from gateway.inference.admission import offered
from gateway.names import NO_DATE
from metering import clock
from metering.numbers import whole_number
from providers.dialect import Family

# Neither API's clients act on the date; a fixed one says that it is not known.
_CREATED = 0
_ANTHROPIC_PAGE, _ANTHROPIC_MOST = 20, 1000
_GOOGLE_PAGE, _GOOGLE_MOST = 50, 1000
_GENERATING = ["generateContent", "streamGenerateContent", "countTokens"]
_NO_HEADERS: Final[CIMultiDictProxy[str]] = CIMultiDictProxy(CIMultiDict())
_EMBEDDING = ["embedContent", "batchEmbedContents", "countTokens"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that its reader can call under ``name``.

    Attributes:
        target: The first place that serves it.
        capabilities: What it can do there or at a further place, as far as that is stated.
        translated: Its API is another one.
    """

    name: str
    model: Model
    target: CatalogTarget
    capabilities: Mapping[Capability, bool]
    lifecycle: Lifecycle
    translated: bool = False

    @property
    def output_limit(self) -> int | None:
        """The longest answer in tokens, if it is known."""
        return self.model.max_output or longest_answer(self.target.model)


class Offering:
    """What one caller can call in one dialect.

    Args:
        catalog: What is served.
        config: Whose policy holds.
        principal: The caller.
        family: The dialect.
        headers: Of the request for the list, which may tighten region and retention as any request may.
        today: In UTC.

    Raises:
        InvalidRequest: A header is not of its form.
    """

    def __init__(
        self,
        catalog: Catalog,
        config: Config,
        principal: Principal,
        family: Family,
        *,
        headers: CIMultiDictProxy[str] = _NO_HEADERS,
        today: date | None = None,
    ) -> None:
        self._catalog = catalog
        self._config = config
        self._principal = principal
        self._family = family
        self._pinned = policy.narrow(principal.regions, headers.getall(policy.REGION_HEADER, ()))
        self._limit = retention.strictest(
            config.policy.max_retention_days,
            principal.max_retention_days,
            retention.asked(headers.getall(retention.RETENTION_HEADER, ())),
        )
        self._today = today or datetime.fromtimestamp(clock.now_ms() / 1_000, UTC).date()

    def all(self) -> list[Offer]:
        found = [offer for model in self._catalog.models if (offer := self._offer(model.name, model)) is not None]
        return sorted(found, key=lambda offer: offer.translated)

    def find(self, name: str) -> Offer | None:
        model = self._catalog.resolve(name)
        return None if model is None else self._offer(model.name, model)

    def _offer(self, name: str, model: Model) -> Offer | None:
        targets = offered(model, self._family, self._config, self._principal, pinned=self._pinned, limit=self._limit)
        for target in targets:
            lifecycle = target.lifecycle
            if not lifecycle.ended(self._today):
                lifecycle = replace(lifecycle, deprecated=lifecycle.deprecated or model.deprecated)
                translated = target.provider.family is not self._family
                capabilities = of_any(one.capabilities for one in targets)
                return Offer(name, model, target, capabilities, lifecycle, translated)
        lasting = lasting_name(targets[0].model) if targets else None
        other = self._catalog.resolve(lasting) if lasting is not None else None
        return None if lasting is None or other is None else self._offer(lasting, other)


def _openai(offer: Offer) -> dict[str, Any]:
    ends = offer.lifecycle.ends
    shown: dict[str, Any] = {
        "id": offer.name,
        "object": "model",
        "created": _CREATED,
        "owned_by": offer.target.provider.company,
        "shutdown_date": None if ends is None else ends.isoformat(),
    }
    limits = {"context_window": offer.model.context_window, "max_output_tokens": offer.output_limit}
    shown |= {name: limit for name, limit in limits.items() if limit is not None}
    if offer.capabilities:
        shown["capabilities"] = {one.value: has for one, has in offer.capabilities.items()}
    return shown


def _anthropic(offer: Offer) -> dict[str, Any]:
    ends = offer.lifecycle.ends
    return {
        "type": "model",
        "id": offer.name,
        "display_name": offer.name,
        "created_at": NO_DATE,
        "lifecycle": "deprecated" if offer.lifecycle.deprecated else "active",
        "deprecated_at": None,
        "retires_at": None if ends is None else f"{ends.isoformat()}T00:00:00Z",
        "max_input_tokens": offer.model.context_window,
        "max_tokens": offer.output_limit,
        "capabilities": _anthropic_capabilities(offer),
    }


def _anthropic_capabilities(offer: Offer) -> dict[str, Any] | None:
    """Every key of `anthropic.types.ModelCapabilities`, ``None`` where nothing is stated."""
    stated = offer.capabilities
    if not stated:
        return None
    types = None if offer.translated else thinking_types(offer.target.model)
    thinking: dict[str, Any] | None = None
    if Capability.REASONING in stated:
        thinking = {"supported": stated[Capability.REASONING], "types": None}
        if stated[Capability.REASONING] and types is not None:
            thinking["types"] = dict(zip(("adaptive", "enabled"), map(_support, types), strict=True))
    return {
        "batch": _support(False),  # would be kept at the provider: refused
        "citations": None,
        "code_execution": None,
        "context_management": None,
        "effort": None,
        "image_input": _support(stated.get(Capability.VISION)),
        "pdf_input": _support(stated.get(Capability.DOCUMENTS)),
        "server_tools": None,
        "structured_outputs": _support(stated.get(Capability.STRUCTURED_OUTPUT)),
        "thinking": thinking,
    }


def _support(stated: bool | None) -> dict[str, bool] | None:
    return None if stated is None else {"supported": stated}


def _google(offer: Offer) -> dict[str, Any]:
    shown: dict[str, Any] = {
        "name": f"models/{offer.name}",
        "baseModelId": offer.name,
        "version": "001",
        "displayName": offer.name,
        "supportedGenerationMethods": _EMBEDDING if "embed" in offer.name else _GENERATING,
    }
    if offer.lifecycle.deprecated:
        ends = offer.lifecycle.ends
        shown["description"] = "Deprecated." if ends is None else f"Deprecated; its maker switches it off on {ends}."
    if offer.model.context_window:
        shown["inputTokenLimit"] = offer.model.context_window
    if offer.output_limit:
        shown["outputTokenLimit"] = offer.output_limit
    if Capability.REASONING in offer.capabilities:
        shown["thinking"] = offer.capabilities[Capability.REASONING]
    return shown


def _size(values: Mapping[str, str], name: str, usual: int, most: int) -> int:
    text = values.get(name, "")
    if not text:
        return usual
    size = whole_number(text)
    if not size:
        raise InvalidRequest("The page size must be a positive integer.", param=name)
    return min(size, most)


def list_models(offering: Offering, family: Family, query: str, rid: str) -> web.Response:
    """One page of what is offered in the caller's shape. Raises `InvalidRequest` for a bad page."""
    offers = offering.all()
    values = first_of(query)
    if family is Family.ANTHROPIC:
        return _anthropic_page(offers, values, rid)
    if family is Family.GOOGLE:
        return _google_page(offers, values, rid)
    body: dict[str, Any] = {"object": "list", "data": [_openai(offer) for offer in offers]}
    if "client_version" in values:
        body["models"] = []  # Codex' own member: an entry would replace its instructions and tools (decision 010)
    return json_response(orjson.dumps(body), rid)


def _anthropic_page(models: list[Offer], values: Mapping[str, str], rid: str) -> web.Response:
    size = _size(values, "limit", _ANTHROPIC_PAGE, _ANTHROPIC_MOST)
    names: list[str] = [model.name for model in models]
    after, before = values.get("after_id", ""), values.get("before_id", "")
    if (after and after not in names) or (before and before not in names):
        raise InvalidRequest(
            "This page cursor is not the id of a listed model.", param="after_id" if after else "before_id"
        )
    if before:
        rest = models[: names.index(before)]
        page, more = rest[-size:], len(rest) > size
    else:
        rest = models[names.index(after) + 1 :] if after else models
        page, more = rest[:size], len(rest) > size
    body = {
        "data": [_anthropic(model) for model in page],
        "has_more": more,
        "first_id": page[0].name if page else None,
        "last_id": page[-1].name if page else None,
    }
    return json_response(orjson.dumps(body), rid, headers={"request-id": rid})


def _google_page(models: list[Offer], values: Mapping[str, str], rid: str) -> web.Response:
    size = _size(values, "pageSize", _GOOGLE_PAGE, _GOOGLE_MOST)
    start = whole_number(values.get("pageToken") or "0", len(models))
    if start is None:
        raise InvalidRequest("This page token is not valid. Use the nextPageToken of a page.", param="pageToken")
    body: dict[str, Any] = {"models": [_google(model) for model in models[start : start + size]]}
    if start + size < len(models):
        body["nextPageToken"] = str(start + size)
    return json_response(orjson.dumps(body), rid)


def show_model(offering: Offering, family: Family, name: str, rid: str) -> web.Response:
    """One model. Raises `ModelNotFound`."""
    offer = offering.find(name.removeprefix("models/"))
    if offer is None:
        raise ModelNotFound
    shape = {Family.ANTHROPIC: _anthropic, Family.GOOGLE: _google}.get(family, _openai)
    return json_response(orjson.dumps(shape(offer)), rid)
