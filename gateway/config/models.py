"""``[[models]]``: names, targets and stated prices.

Every price is built once here, so that a row that cannot be priced with is a fault of the file and
not of a request.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from fractions import Fraction
from itertools import product

from gateway.config.billing import BillingConfig
from gateway.config.providers import DataHandling, ProviderConfig, read_handling
from gateway.config.reader import Section
from gateway.config.tiers import TierConfig
from metering.pricing import PRICE_KEYS, PriceError, Row, Steps, build
from metering.usage import Geography, ServiceTier, Speed, Variant

VARIANTS = frozenset(str(Variant(*parts)) for parts in product(ServiceTier, Speed, Geography)) - {"standard"}
MULTIPLIER_CEILING = 100

_MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@-]{0,127}")


class Capability(StrEnum):
    """What a model can do or not; the values are the keys of ``capabilities``, and what lists of models show."""

    TOOLS = "tools"
    VISION = "vision"
    DOCUMENTS = "documents"
    AUDIO = "audio"
    REASONING = "reasoning"
    CACHING = "caching"
    STRUCTURED_OUTPUT = "structured_output"


@dataclass(frozen=True, slots=True)
class PriceConfig:
    """Stated USD prices, see `metering.pricing.build`."""

    row: Row
    variants: Mapping[str, Row | Fraction] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class TargetConfig:
    """One place that serves a model. Without a price the published one holds, if there is one; without a statement of
    its ``handling``, the provider's.

    Attributes:
        published: The maker's name of the model, whose published price holds at a host that has another name for it.
        capabilities: What is stated of the model here, beside what is stated of it everywhere.
    """

    provider: str
    model: str
    price: PriceConfig | None = None
    handling: DataHandling | None = None
    published: str = ""
    capabilities: Mapping[Capability, bool] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """A model as clients name it; ``tiers`` empty means every tier may use it, and what ``capabilities`` lacks is
    unknown.
    """

    name: str
    targets: tuple[TargetConfig, ...]
    aliases: tuple[str, ...] = ()
    tiers: frozenset[str] = frozenset()
    reasoning: bool | None = None
    max_output: int | None = None
    context_window: int | None = None
    capabilities: Mapping[Capability, bool] = field(default_factory=dict)


def read_models(
    root: Section,
    providers: Mapping[str, ProviderConfig],
    tiers: Mapping[str, TierConfig],
    billing: BillingConfig,
) -> tuple[ModelConfig, ...]:
    """All models; names and aliases are unique, providers and tiers exist, prices can be built.

    Without models the catalog is the published ones, so that a provider with published prices must be there.
    """
    models: list[ModelConfig] = []
    taken: set[str] = set()
    declared = root.raw("providers")
    for section in root.array("models"):
        model = _model(section, providers, billing, declared if isinstance(declared, dict) else {})
        for key, name in (("name", model.name), *(("aliases", alias) for alias in model.aliases)):
            if name in taken:
                section.fault(key, "is used twice", "give every model and alias a name of its own")
            taken.add(name)
        if unknown := model.tiers - tiers.keys():
            section.fault("tiers", f"{len(unknown)} of them do not exist", "add [tiers.NAME] or correct the name")
        models.append(model)
    if not root.has("models") and providers and not any(p.published_prices for p in providers.values()):
        root.fault("models", "is missing, and no provider publishes prices", "add [[models]] with prices")
    return tuple(models)


def _model(
    section: Section,
    providers: Mapping[str, ProviderConfig],
    billing: BillingConfig,
    declared: Mapping[str, object],
) -> ModelConfig:
    section.require("name", "write the name that clients use")
    name = section.string("name", "unnamed")
    aliases = section.strings("aliases")
    for key, text in (("name", name), *(("aliases", alias) for alias in aliases)):
        if not _MODEL_NAME.fullmatch(text):
            section.fault(key, "is not a model's name", "use letters, digits and . _ : / @ -, 128 at most")
    price = _price(section, billing)
    targets = tuple(_target(target, providers, billing, price, declared) for target in section.array("targets"))
    if not targets:
        section.fault("targets", "is missing or empty", 'write [{provider = "NAME", model = "MODEL"}]')
    model = ModelConfig(
        name=name,
        targets=targets,
        aliases=aliases,
        tiers=frozenset(section.strings("tiers")),
        reasoning=section.boolean("reasoning", False) if section.has("reasoning") else None,
        max_output=section.integer("max_output", 0, 1) or None,
        context_window=section.integer("context_window", 0, 1) or None,
        capabilities=_capabilities(section),
    )
    section.close()
    return model


def _target(
    section: Section,
    providers: Mapping[str, ProviderConfig],
    billing: BillingConfig,
    shared: PriceConfig | None,
    declared: Mapping[str, object],
) -> TargetConfig:
    section.require("provider", "name a [providers.NAME] table")
    section.require("model", "write the provider's own name of the model")
    name = section.string("provider")
    model = section.string("model")
    if model and not _MODEL_NAME.fullmatch(model):
        section.fault("model", "is not a model's name", "use letters, digits and . _ : / @ -, 128 at most")
    published = section.string("published_price")
    price = _price(section, billing)
    if published and price is not None:
        section.fault("published_price", "stands beside a price", "remove one of them")
    price = price or (None if published else shared)
    provider = providers.get(name)
    if provider is None and name and name not in declared:
        section.fault("provider", "does not exist", "add [providers.NAME] or correct the name")
    if price is None and not published and provider is not None and not provider.published_prices:
        fix = "state it in USD per million tokens, or name the model whose published price holds: published_price"
        section.fault("price", "is missing, and no published price holds for that host", fix)
    handling = read_handling(section, provider, model)
    capabilities = _capabilities(section)
    section.close()
    return TargetConfig(name, model, price, handling, published, capabilities)


def _capabilities(section: Section) -> Mapping[Capability, bool]:
    if not section.has("capabilities"):
        return {}
    table = section.table("capabilities")
    found = {one: table.boolean(one.value, False) for one in Capability if table.has(one.value)}
    table.close()
    return found


def _price(section: Section, billing: BillingConfig) -> PriceConfig | None:
    if not section.has("price"):
        return None
    table = section.table("price")
    row = _row(table)
    variants: dict[str, Row | Fraction] = {}
    inner = table.table("variants")
    stated = table.raw("variants")
    for name in stated if isinstance(stated, dict) else {}:
        if name not in VARIANTS:
            inner.fault(name, "is not a variant", "write a service tier, or standard.fast, standard.us ...")
        factor = inner.number(inner.raw(name))
        if factor is None:
            own = inner.table(name)
            variants[name] = _row(own)
            own.close()
        elif 0 <= factor <= MULTIPLIER_CEILING:
            variants[name] = Fraction(factor)
        else:
            inner.fault(name, "is out of range", f"write a multiplier from 0 to {MULTIPLIER_CEILING}")
    table.close()
    try:
        build(row, variants, credit_usd=billing.credit_usd, version="")
    except PriceError as error:
        table.fault(error.key, *_split(str(error)))
    return PriceConfig(row, variants)


def _split(message: str) -> tuple[str, str]:
    wrong, _, fix = message.partition("; ")
    return wrong, fix or "correct the number"


def _row(section: Section) -> Row:
    """Stated prices, and the ones for long inputs: ``long_context = [{above = N, ...}]``."""
    row: dict[str, Steps] = {}
    for key in sorted(PRICE_KEYS):
        if section.has(key) and (price := section.number(section.raw(key))) is not None:
            row[key] = ((0, price),)
        elif section.has(key):
            section.fault(key, "is not a number", "write USD per million without quotes")
    previous = 0
    for step in section.array("long_context"):
        step.require("above", "write the input tokens above which these prices hold")
        above = step.integer("above", previous + 1, 1)
        if above <= previous:
            step.fault("above", "does not ascend", "order the steps by their size")
        for key in sorted(PRICE_KEYS):
            if not step.has(key):
                continue
            price = step.number(step.raw(key))
            if price is None:
                step.fault(key, "is not a number", "write USD per million without quotes")
            elif key not in row:
                step.fault(key, "has no price for short inputs", "state that beside long_context")
            else:
                row[key] = (*row[key], (above, price))
        step.close()
        previous = above
    return row
