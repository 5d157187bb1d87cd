"""Decides, without I/O, whether a request may be sent to a provider, to which one, and how much credit is held for it.

It raises before anything is held, so that a bad request costs nothing.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import msgspec
from msgspec.structs import replace

from gateway.auth import policy, regions, retention
from gateway.auth.principal import Principal
from gateway.catalog.catalog import Catalog, CatalogTarget, Model
from gateway.catalog.naming import asks_before_caching, converses
from gateway.config import (
    CacheIsolation,
    Config,
    HoldRule,
    PolicyConfig,
    RefusedTools,
    Region,
    ShortRule,
    UnknownMembers,
)
from gateway.errors import (
    GatewayError,
    InvalidRequest,
    ModelNotFound,
    ModelNotInPlan,
    PrivacyUnsupported,
    UnsupportedFeature,
)
from gateway.http.answers import error_of_refusal
from gateway.inference import estimate, failover, holds
from gateway.inference.needs import capable
from metering import clock, pricing
from metering.learning import Learning
from metering.usage import LARGEST_AMOUNT, Geography, Speed, Variant
from providers.anthropic.messages import check_betas
from providers.conversation.embeddings import EMBEDDERS
from providers.dialect import Family, FurtherModel, Head, Operation, Refusal, Wire
from providers.openai.request import CACHING
from providers.steps import Steps
from providers.tools.catalog import DEFAULT_ALLOWED, refuse_tools, refuse_uncounted
from providers.tools.removal import less_refused

UNKNOWN_MEMBERS = (
    "The request has members or betas that this gateway does not know, and its policy refuses them: leave out what is "
    "not listed in docs/members.md."
)
FURTHER_ELSEWHERE = (
    "A further model that the request names is not served by the provider of the first one, may not be used there, or "
    "has no price there: name others, or leave them out."
)
CACHES_BY_ITSELF = (
    "This model always caches prompts, which this gateway's policy (cache_isolation) forbids: choose gpt-5.6 or newer."
)
NOT_TRANSLATED = "This model is served through another API, and this operation is not translated: use that API's SDK."
NOT_SERVED = "The host of this model does not serve this operation: do without it, or choose another model."
TOOL_KEEPS = (
    "A tool that runs at the provider may keep what it is given, and nothing may be kept (max_retention_days or "
    "x-max-retention-days is 0): run it on the client, choose a model that does not search, or have the limit raised."
)
_US = frozenset({Region.US.value})
SEARCH = "openai_web_search"  # what a model that searches by itself counts as, for policy


class Admission(msgspec.Struct, frozen=True):
    """A request that may be served.

    Attributes:
        head: What is acted on of its body.
        model: What it asks for.
        targets: Where it may go, in order; never empty.
        input: Its tokens of input, by estimate.
        output_tokens: Output held for, of one choice.
        most_output: The longest answer that one choice can get, in tokens.
        amount: Micro-credits to hold if the account's credit covers ``worst`` of all that it runs.
        worst: The most that the request may cost.
        least: The least that it may be limited to; ``worst`` if it may not.
        costs: What it costs by its output.
        billed: Whether anybody pays for this operation.
        unknown_betas: How many of its betas no table knows.
        regions: What it is pinned to; ``None`` is anywhere.
        further: Where the further models that it names are served, by the client's name for them.
        max_retention_days: For how long a provider may keep it; ``None`` means no limit.
    """

    head: Head
    model: Model
    targets: tuple[CatalogTarget, ...]
    input: estimate.Input
    output_tokens: int
    most_output: int
    amount: int
    worst: int
    least: int
    costs: holds.Costs
    billed: bool
    unknown_betas: int = 0
    regions: frozenset[str] | None = None
    further: Mapping[str, Model] = msgspec.field(default_factory=dict)
    max_retention_days: int | None = None

    @property
    def input_bound(self) -> int:
        """Tokens of input that it has at most, by estimate: for the hold and the token rate."""
        return self.input.bound

    @property
    def tokens(self) -> int:
        """What the token rate is asked for."""
        return self.input_bound + self.output_tokens * self.head.choices

    def limit(self, amount: int) -> int:
        """The output limit of one choice to send, if ``amount`` micro-credits, ``least`` at least, must suffice."""
        paid = self.costs.output(amount, self.most_output)
        return holds.stated_limit(self.head, self.model, self.input_bound, paid)


def read_head(wire: Wire, body: bytes, path_model: str | None, rules: PolicyConfig) -> Steps[Head]:
    """Read a request's head, in steps.

    Args:
        wire: The operation.
        body: As the client sent it, decoded.
        path_model: The model, if the operation names it in the path.
        rules: What policy allows.

    Raises:
        InvalidRequest, UnsupportedFeature, PrivacyUnsupported.
    """
    try:
        head = yield from wire.read(body, path_model)
        if rules.server_tools_refuse is RefusedTools.STRIP:
            head = less_refused(head, rules.server_tools)
        refuse_tools(head, rules.server_tools)
    except Refusal as error:
        raise error_of_refusal(error) from None
    return head


def admit(
    wire: Wire,
    head: Head,
    betas: Iterable[str],
    *,
    catalog: Catalog,
    config: Config,
    principal: Principal,
    learning: Learning,
    asked_regions: Sequence[str] = (),
    asked_retention: Sequence[str] = (),
    model: Model | None = None,
    selected: str = "",
    operation: Operation | None = None,
) -> Admission:
    """Decide about a request whose head was read.

    Args:
        wire: The operation.
        head: Of `read_head`.
        betas: Values of the ``anthropic-beta`` header.
        catalog: What is served.
        config: Whose policy and billing rules hold.
        principal: Who asks.
        asked_regions: Values of the request's own region header.
        asked_retention: Values of its header that limits retention.
        learning: What is known of the model's usual requests.
        model: What ``catalog`` has under the request's name, if it was looked up: a dated name is compared with many.
        selected: The company that was selected, if this is about another way to the same model.
        operation: What the caller asks for, if that is another operation: errors name its members.

    Raises:
        InvalidRequest, UnsupportedFeature, PrivacyUnsupported, ModelNotFound, ModelNotInPlan, RegionUnavailable,
        RetentionUnavailable.
    """
    unknown_betas = 0
    if wire.operation.family is Family.ANTHROPIC:
        try:
            unknown_betas = check_betas(
                betas,
                config.policy.server_tools,
                strip=config.policy.server_tools_refuse is RefusedTools.STRIP,
            )
        except Refusal as error:
            raise error_of_refusal(error) from None
    refuse_unknown(head, config.policy, unknown_betas)
    model = _allowed(model or catalog.resolve(head.model), "model", principal)
    targets = failover.lasting_first(
        failover.usable(model.targets, wire.operation.family, wire.operation, principal.fallback_companies, selected),
        clock.now_ms(),
    )
    if not targets:
        native = any(target.provider.family is wire.operation.family for target in model.targets)
        raise UnsupportedFeature(NOT_SERVED if native else NOT_TRANSLATED, param="model")
    pinned = policy.narrow(principal.regions, asked_regions) if asked_regions else principal.regions
    asked = retention.asked(asked_retention) if asked_retention else None
    limit = retention.strictest(config.policy.max_retention_days, principal.max_retention_days, asked)
    targets = _permitted(targets, head, pinned, limit)
    targets = capable(targets, head, operation or wire.operation, model.name)
    if limit == 0:
        _refuse_keeping(targets, head)
    if config.policy.cache_isolation is CacheIsolation.NONE and wire.operation in CACHING:
        targets = _asking(targets)
    further: dict[str, Model] = {}
    for one in head.further:
        found = _resolve(one.name, one.param, catalog, principal)
        allowed = _permitted(found.targets, head, pinned, limit, one.param)
        further[one.name] = dataclasses.replace(found, targets=allowed)
    if further:
        targets = _serving_all(targets, head, further)
    if wire.billed:
        targets = _billable(targets, head, wire.operation, config.policy.server_tools)
    counted = estimate.of_input(
        head.weight,
        wire.operation,
        [target.model for target in targets],
        factor=learning.input_factor(model.name),
        cached_share=learning.cached_share(model.name, principal.pid),
        window=_window(model, head, wire.operation),
        tools=head.server_tools,
    )
    variants = _further_targets(targets, head, further) + _located(targets, head, pinned)
    costs = holds.Costs(targets, head, counted.bound, variants)
    most = holds.longest_output(head, model, counted.bound, further)
    output, amount, worst, least = most, 0, 0, 0
    if config.billing.hold is HoldRule.LEARNT:
        output = min(most, learning.usual_output(model.name) or holds.USUAL_OUTPUT)
    if wire.billed:
        amount = least = worst = costs.worst(most)
        if config.billing.hold is HoldRule.LEARNT:
            amount = min(costs.usual(output), worst)
        if config.billing.short is ShortRule.CAP:
            least = costs.worst(holds.least_output(head, targets, most))
    if max(worst, counted.bound + output * head.choices) > LARGEST_AMOUNT:
        raise InvalidRequest(
            "No credit covers what this may cost: lower the output limit, the number of answers (n, best_of, "
            "candidateCount) or max_tool_calls."
        )
    return Admission(
        head,
        model,
        targets,
        counted,
        output,
        most,
        amount,
        worst,
        least,
        costs,
        wire.billed,
        unknown_betas,
        pinned,
        further,
        limit,
    )


def refuse_unknown(head: Head, rules: PolicyConfig, betas: int = 0) -> None:
    """Raises `UnsupportedFeature` for members, and a number of ``betas``, that no table knows, if policy says so."""
    if rules.unknown_members is UnknownMembers.REFUSE and (betas or head.found.unknown):
        raise UnsupportedFeature(UNKNOWN_MEMBERS)


def _resolve(name: str, param: str, catalog: Catalog, principal: Principal) -> Model:
    """A model that a request names, wherever it names it.

    Raises:
        ModelNotFound, ModelNotInPlan: It is not served, or not to this caller.
    """
    return _allowed(catalog.resolve(name), param, principal)


def _allowed(model: Model | None, param: str, principal: Principal) -> Model:
    """The same of a model that was looked up."""
    if model is None:
        raise ModelNotFound(param=param)
    if not policy.allows(principal, model):
        raise ModelNotInPlan(param=param)
    return model


def _permitted(
    targets: tuple[CatalogTarget, ...],
    head: Head,
    pinned: frozenset[str] | None,
    limit: int | None,
    param: str | None = None,
) -> tuple[CatalogTarget, ...]:
    """Those of a model's targets to which this request may be sent, in order.

    Args:
        targets: Of one model, wherever the request names it.
        head: Of the request.
        pinned: The regions that it is pinned to.
        limit: For how many days it may be kept.
        param: Where it names the model, if that is not its main one.

    Raises:
        RegionUnavailable, RetentionUnavailable: None is left.
    """
    located = regions.consistent(regions.within(targets, pinned, param), head.region, pinned)
    return retention.within(located, limit, param)


def _asking(targets: tuple[CatalogTarget, ...]) -> tuple[CatalogTarget, ...]:
    """Those at which nothing of a prompt is cached that the request does not ask for.

    Raises:
        PrivacyUnsupported: There is none.
    """
    found = tuple(target for target in targets if asks_before_caching(target.provider.family, target.model))
    if not found:
        raise PrivacyUnsupported(CACHES_BY_ITSELF, param="model")
    return found


def _refuse_keeping(targets: Sequence[CatalogTarget], head: Head) -> None:
    """Raises `PrivacyUnsupported` for what a provider may keep, beside the prompt, of a request of which nothing may be
    kept: with tools whose provider does not say that they keep nothing.
    """
    if head.server_tools - DEFAULT_ALLOWED:
        raise PrivacyUnsupported(TOOL_KEEPS, param="tools")
    if any(target.searches for target in targets):
        raise PrivacyUnsupported(TOOL_KEEPS, param="model")


def offered(
    model: Model,
    family: Family,
    config: Config,
    principal: Principal,
    *,
    pinned: frozenset[str] | None,
    limit: int | None,
) -> tuple[CatalogTarget, ...]:
    """Where a plain request for a model may go, by the rules of `admit`; empty if it would be refused.

    Args:
        model: Of the catalog.
        family: The dialect of the request.
        config: Whose policy holds.
        principal: Who would ask.
        pinned: The regions that it is pinned to; ``None`` is anywhere.
        limit: For how many days it may be kept; ``None`` means no limit.
    """
    companies = principal.fallback_companies
    targets = failover.usable(model.targets, family, companies=companies)
    if not targets and model.targets and _translated_for(model.targets[0], family):
        targets = failover.usable(model.targets, model.targets[0].provider.family, companies=companies)
    if not targets or not policy.allows(principal, model):
        return ()
    try:
        targets = retention.within(regions.within(targets, pinned), limit)
        caches = family is Family.OPENAI and "embed" not in model.name
        if caches and config.policy.cache_isolation is CacheIsolation.NONE:
            targets = _asking(targets)
    except GatewayError:
        return ()
    if limit == 0 or SEARCH not in config.policy.server_tools:
        targets = tuple(target for target in targets if not target.searches)
    return targets


def _translated_for(target: CatalogTarget, family: Family) -> bool:
    """Whether requests of a dialect are translated for a target: those of conversations, and for embeddings."""
    return converses(target.model) or ("embed" in target.model and {family, target.provider.family} <= set(EMBEDDERS))


def at_provider(model: Model, provider: str) -> CatalogTarget | None:
    """Where a provider serves a model, if it does."""
    return next((target for target in model.targets if target.provider.name == provider), None)


def _serving_all(
    targets: tuple[CatalogTarget, ...], head: Head, further: Mapping[str, Model]
) -> tuple[CatalogTarget, ...]:
    """The targets whose provider serves every further model, too, at a known price.

    Raises:
        UnsupportedFeature: There is none.
    """
    found = tuple(
        target
        for target in targets
        if all(
            (other := at_provider(further[one.name], target.provider.name)) is not None
            and pricing.priced(other.price, _variant(head, one))
            for one in head.further
        )
    )
    if not found:
        raise UnsupportedFeature(FURTHER_ELSEWHERE, param=head.further[0].param)
    return found


def _further_targets(
    targets: Sequence[CatalogTarget], head: Head, further: Mapping[str, Model]
) -> list[tuple[CatalogTarget, Variant]]:
    """Where further models may answer, each in the variant that it is asked for in."""
    return [
        (other, _variant(head, one))
        for target in targets
        for one in head.further
        if (other := at_provider(further[one.name], target.provider.name)) is not None
    ]


def states_region(target: CatalogTarget, head: Head, pinned: frozenset[str] | None) -> bool:
    """Whether a pinned request must say where it wants to be processed: the API's own maker takes that word, for the
    models that have a price for it (https://platform.claude.com/docs/en/manage-claude/data-residency).
    """
    provider = target.provider
    return (
        pinned == _US
        and head.region is None
        and provider.family is Family.ANTHROPIC
        and provider.first_party
        and pricing.priced(target.price, Variant(geography=Geography.US))
    )


def _located(
    targets: Sequence[CatalogTarget], head: Head, pinned: frozenset[str] | None
) -> list[tuple[CatalogTarget, Variant]]:
    """The targets for which the region is set in the request, at the price of that region."""
    if pinned != _US:
        return []
    variant = replace(head.variant, geography=Geography.US)
    return [(target, variant) for target in targets if states_region(target, head, pinned)]


def _variant(head: Head, one: FurtherModel) -> Variant:
    """What a further model is asked for in: at the request's own speed, or at a higher one of its own."""
    return replace(head.variant, speed=Speed.FAST) if one.fast else head.variant


# Each text is an input of its own, which alone must fit into the model's window.
_MANY_INPUTS: Final = frozenset((Operation.OPENAI_EMBEDDINGS, Operation.GEMINI_EMBED, Operation.GEMINI_BATCH_EMBED))


def _window(model: Model, head: Head, operation: Operation) -> int | None:
    """The tokens that no input exceeds: of completions, each of the prompts has the window to itself."""
    if model.context_window is None or operation in _MANY_INPUTS:
        return None
    return model.context_window * (head.choices if operation is Operation.OPENAI_COMPLETIONS else 1)


def _billable(
    targets: tuple[CatalogTarget, ...], head: Head, operation: Operation, allowed: frozenset[str]
) -> tuple[CatalogTarget, ...]:
    """The targets at which all that is asked for can be billed. The first one decides whether it is served at all;
    a later one at which something has no price is no fallback.

    Raises:
        UnsupportedFeature, PrivacyUnsupported: It can't be billed at the first target.
    """
    refused = [refusal_of(target, head, operation, allowed) for target in targets]
    if refused[0] is not None:
        raise refused[0]
    return tuple(target for target, error in zip(targets, refused, strict=True) if error is None)


def refusal_of(target: CatalogTarget, head: Head, operation: Operation, allowed: frozenset[str]) -> GatewayError | None:
    """Why a request can't be billed at a target, or ``None`` if it can."""
    if not pricing.priced(target.price, head.variant):
        return UnsupportedFeature(
            "The gateway has no price for this service tier or speed: omit it, or choose another one.",
            param="service_tier",
        )
    if head.media_out.intersection(target.price.standard.unstated):
        return UnsupportedFeature(
            "The audio or images that this request asks for have no price of their own at this model: ask for text, or "
            "choose another model.",
            param="generationConfig" if operation.family is Family.GOOGLE else "modalities",
        )
    tools = head.server_tools
    if target.searches:
        if SEARCH not in allowed:
            return PrivacyUnsupported(
                "This model searches the web for each request, which is switched off here (openai_web_search): choose "
                "another model.",
                param="model",
            )
        tools -= {SEARCH}  # counted by the request, and so are the options of its search
    try:
        refuse_uncounted(tools, operation)
    except Refusal as error:
        return error_of_refusal(error)
    if not all(pricing.prices_calls(target.price, call) for call in holds.calls_of(target, head)):
        return PrivacyUnsupported(
            "The gateway has no price for this server-side tool, so it cannot bill it: run the tool on the client.",
            param="tools",
        )
    return None
