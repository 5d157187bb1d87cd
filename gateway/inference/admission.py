"""Whether a request may go to a provider, to which, and how much credit is held for it: the decision, without I/O.

Everything here raises before anything is held, so that bad input costs nobody anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec

from gateway.auth import policy, regions
from gateway.auth.principal import Principal
from gateway.catalog.catalog import Catalog, CatalogTarget, Model
from gateway.config import Config, HoldRule, PolicyConfig, ShortRule, UnknownMembers
from gateway.errors import (
    GatewayError,
    ModelNotFound,
    ModelNotInPlan,
    PrivacyUnsupported,
    UnsupportedFeature,
)
from gateway.http.answers import error_of_refusal
from gateway.inference import estimate, failover, holds
from gateway.inference.estimate import Expected
from metering import pricing
from metering.learning import Learning
from providers.anthropic.messages import check_betas
from providers.dialect import Family, Head, Operation, Refusal, Wire
from providers.steps import Steps
from providers.tools.catalog import refuse_tools, refuse_uncounted

UNKNOWN_MEMBERS = (
    "The request has members or betas that this gateway does not know, and its policy refuses them: leave out what is "
    "not listed in docs/members.md."
)
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

    @property
    def input_bound(self) -> int:
        """Tokens of input that it has at most, by estimate: for the hold and the token rate."""
        return self.input.bound

    @property
    def input_expected(self) -> Expected:
        """Tokens of input that it probably has: what it costs if its provider never says."""
        return self.input.expected

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
        path_model: The model, where the operation names it in the path.
        rules: What policy allows.

    Raises:
        InvalidRequest, UnsupportedFeature, PrivacyUnsupported.
    """
    try:
        head = yield from wire.read(body, path_model)
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
        learning: What is known of the model's usual requests.

    Raises:
        UnsupportedFeature, PrivacyUnsupported, ModelNotFound, ModelNotInPlan, RegionUnavailable.
    """
    unknown_betas = 0
    if wire.operation.family is Family.ANTHROPIC:
        try:
            unknown_betas = check_betas(betas, config.policy.server_tools)
        except Refusal as error:
            raise error_of_refusal(error) from None
    if config.policy.unknown_members is UnknownMembers.REFUSE and (unknown_betas or head.found.unknown):
        raise UnsupportedFeature(UNKNOWN_MEMBERS)
    model = catalog.resolve(head.model)
    if model is None:
        raise ModelNotFound(param="model")
    if not policy.allows(principal, model):
        raise ModelNotInPlan
    targets = failover.usable(model.targets, wire.operation.family)
    if not targets:
        raise UnsupportedFeature(
            "This model is served in another API's format: call it with its own provider's SDK.", param="model"
        )
    pinned = policy.narrow(principal.regions, asked_regions) if asked_regions else principal.regions
    targets = regions.within(targets, pinned)
    if wire.billed:
        targets = _billable(targets, head, wire.operation, config.policy.server_tools)
    counted = estimate.of_input(
        head.weight,
        wire.operation,
        [target.model for target in targets],
        factor=learning.input_factor(model.name),
        cached_share=learning.cached_share(model.name, principal.pid),
        window=model.context_window,
        tools=head.server_tools,
    )
    costs = holds.Costs(targets, head, counted.bound)
    most = holds.most_output(head, model, counted.bound)
    output, amount, worst, least = most, 0, 0, 0
    if config.billing.hold is HoldRule.LEARNT:
        output = min(most, learning.usual_output(model.name) or holds.USUAL_OUTPUT)
    if wire.billed:
        amount = least = worst = costs.worst(most)
        if config.billing.hold is HoldRule.LEARNT:
            amount = min(costs.usual(output), worst)
        if config.billing.short is ShortRule.CAP:
            least = costs.worst(holds.least_output(head, targets, most))
    return Admission(
        head, model, targets, counted, output, most, amount, worst, least, costs, wire.billed, unknown_betas
    )


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
            "This service tier or speed has no price here: leave it out, or choose another.", param="service_tier"
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
            "This server-side tool has no price here, so its use can't be billed: run it on the client.",
            param="tools",
        )
    return None
