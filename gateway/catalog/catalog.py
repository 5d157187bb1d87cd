"""Which models exist, where they are served and what they cost there.

Rules:

1. An unknown or unpriced model is ``None``, never a guess; a request for it is refused before any
   provider is called.
2. A `Model`'s ``name`` is a closed name that may be in records and metrics. The client's text is only in
   ``CatalogTarget.model`` of published models, if it is the provider's own dated name.
3. A catalog never changes. A new price list is a new catalog.
4. A name that extends a listed one is the same model if it adds only a date, a version or a stage; otherwise it is a
   model without a price.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from hashlib import sha256

from gateway.catalog import published
from gateway.catalog.capabilities import capabilities_of
from gateway.catalog.lifecycle import ACTIVE, Lifecycle, end_of
from gateway.catalog.naming import is_snapshot, most_output, reasons, searches
from gateway.catalog.published import PublishedList, PublishedModel, Rule
from gateway.catalog.retention import effective
from gateway.config import (
    Capability,
    Config,
    ConfigError,
    DataHandling,
    ModelConfig,
    PriceConfig,
    ProviderConfig,
    TargetConfig,
)
from gateway.names import Closed
from metering.pricing import Price, Row, build
from providers.dialect import Family, without_context

# A name that may enter a provider's path or body although only a rule matched it.
_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,127}")
MOST_NAMES = 256  # of models as answers name them, whose price was looked up


@dataclass(frozen=True, slots=True)
class CatalogTarget:
    """A place that serves a model.

    Attributes:
        provider: Where, and what that host knows (``store``, ``include_usage``).
        model: The provider's own name of the model; where it differs from what the client wrote,
            the body must be rewritten.
        price: What it costs there.
        reasons: The model keeps reasoning items that ``reasoning.encrypted_content`` asks for.
        stated: What the operator states of this target; ``None`` is the provider's statement.
        capabilities: What the model can do here, as far as it is stated; what is not there is unknown.
        handling: What becomes of prompts here: the statement, or what the provider is known to do in spite of it.
        searches: The model searches the web for each request, which is billed: it counts as that server-side tool.
    """

    provider: ProviderConfig
    model: str
    price: Price
    reasons: bool
    stated: DataHandling | None = None
    capabilities: Mapping[Capability, bool] = field(default_factory=dict)
    handling: DataHandling = field(init=False)
    searches: bool = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "handling", effective(self.model, self.stated or self.provider.handling))
        object.__setattr__(self, "searches", searches(self.provider.family, self.model))

    @property
    def lifecycle(self) -> Lifecycle:
        """What is known of its end here; of a host that is not its maker's, nothing."""
        end = end_of(self.provider.family, self.model) if self.provider.first_party else None
        return ACTIVE if end is None else Lifecycle(end, deprecated=True)


@dataclass(frozen=True, slots=True)
class Model:
    """A model that clients may ask for; ``tiers`` empty means every tier, limits are tokens."""

    name: Closed
    targets: tuple[CatalogTarget, ...]
    tiers: frozenset[str] = frozenset()
    max_output: int | None = None
    context_window: int | None = None
    deprecated: bool = False

    def allows(self, tier: str) -> bool:
        return not self.tiers or tier in self.tiers

    def named(self, name: str) -> Model:
        """The same model under the provider's own name ``name``."""
        return replace(
            self,
            targets=tuple(
                replace(
                    target,
                    model=name,
                    reasons=reasons(target.provider.family, name),
                    capabilities=capabilities_of(target.provider, name),
                )
                for target in self.targets
            ),
            max_output=most_output(self.targets[0].provider.family, name),
        )


class Catalog:
    """All models of one process.

    Attributes:
        models: For the model lists, in the order of the configuration or the price list.
        price_version: The closed name of the prices; each `Price` also has its own.
        until_ms: When a published price changes by its date, or ``None``.
    """

    __slots__ = ("_known", "_listed", "_open", "_prices", "_targets", "models", "price_version", "until_ms")

    def __init__(
        self,
        models: tuple[Model, ...],
        known: Mapping[str, Model | None],
        open_rules: tuple[tuple[Rule, Model | None], ...] = (),
        *,
        price_version: str,
        until_ms: int | None = None,
        listed: Callable[[CatalogTarget, str], Price | None] = lambda _target, _name: None,
    ) -> None:
        self.models = models
        self.price_version = price_version
        self.until_ms = until_ms
        self._known = known
        self._open = open_rules
        self._listed = listed
        self._targets: dict[tuple[str, str], Price] = {}
        for model in models:
            for target in model.targets:
                self._targets.setdefault((target.provider.name, target.model), target.price)
        self._prices: dict[tuple[str, str, str], Price] = {}

    def resolve(self, name: str) -> Model | None:
        """The model that a client calls ``name``; ``None`` if there is none or it has no price."""
        model = self._named(name)
        return self._named(without_context(name)) if model is None and name.endswith("]") else model

    def _named(self, name: str) -> Model | None:
        if name in self._known:
            return self._known[name]
        if not self._open or not _PLAIN_NAME.fullmatch(name):
            return None
        for rule, model in self._open:
            if rule(name):
                return None if model is None else model.named(name)
        return None

    def price_of(self, asked: CatalogTarget, model: str) -> Price | None:
        """What the model that an answer names costs, by its provider's own name; ``None`` if it is unknown.

        It is the price of the target that was asked where both are one model: a dated name is no other model than its
        alias, unless it has a row of its own.

        Args:
            asked: The target that answered.
            model: As the answer names it, wholly or for a part of itself. It is looked up and nothing else.
        """
        if model == asked.model:
            return asked.price
        key = (asked.provider.name, asked.model, model)
        price = self._prices.get(key)
        if price is None and (price := self._find_price(asked, model)) is not None:
            if len(self._prices) >= MOST_NAMES:
                self._prices.clear()
            self._prices[key] = price  # an unpriced name is a provider's text and is not kept
        return price

    def _find_price(self, asked: CatalogTarget, model: str) -> Price | None:
        stated = self._targets.get((asked.provider.name, model))
        if stated is not None:
            return stated
        found = self.resolve(model)
        for target in () if found is None else found.targets:
            if target.provider.name == asked.provider.name and target.model == model:
                return target.price
        listed = self._listed(asked, model)
        return asked.price if listed is None and is_snapshot(model, (asked.model,)) else listed


def load(config: Config) -> Catalog:
    """The catalog of a checked configuration. `published.prepare` must have run in the parent.

    Raises:
        ConfigError: A price is missing, or the compiled price list is.
    """
    prices = published.read(published.list_path(config.server.data_dir)) if published.needed(config) else None
    if config.models:
        return _stated(config, prices)
    assert prices is not None
    return _published(config, prices)


def _stated(config: Config, prices: PublishedList | None) -> Catalog:
    version = _config_version(config)
    faults: list[str] = []
    models: list[Model] = []
    known: dict[str, Model | None] = {}
    for index, stated in enumerate(config.models):
        targets: list[CatalogTarget] = []
        window, longest = stated.context_window, stated.max_output
        for place, target in enumerate(stated.targets):
            provider = config.providers[target.provider]
            listed = None if prices is None else _find(prices, provider.family, target.published or target.model)
            if target.price is not None:
                price = _price(config, target.price, version)
            elif listed is not None and prices is not None:
                price = _published_price(config, listed, prices.version)
            else:
                key = f"models[{index}].targets[{place}]."
                wrong = (
                    "published_price: is not published"
                    if target.published
                    else "price: is missing, and none is published"
                )
                faults.append(f"{key}{wrong}; state it in USD per million tokens")
                continue
            if window is None and listed is not None:
                window = listed.context_window
            if longest is None and (provider.first_party or target.published):
                longest = most_output(provider.family, target.published or target.model)
            targets.append(
                CatalogTarget(
                    provider,
                    target.model,
                    price,
                    _reasons(stated, target, provider),
                    target.handling,
                    capabilities_of(
                        provider, target.model, stated.capabilities, target.capabilities, published=target.published
                    ),
                )
            )
        model = Model(Closed(stated.name), tuple(targets), stated.tiers, longest, window)
        models.append(model)
        known |= dict.fromkeys((stated.name, *stated.aliases), model)
    if faults:
        raise ConfigError(tuple(faults))
    if prices is None:
        return Catalog(tuple(models), known, price_version=version)

    def listed_price(asked: CatalogTarget, name: str) -> Price | None:
        if not asked.provider.published_prices:
            return None
        family = asked.provider.family
        found = _find(prices, family, name)
        if found is None or found is _find(prices, family, asked.model):
            return None if found is None else asked.price
        return _published_price(config, found, prices.version)

    return Catalog(tuple(models), known, price_version=version, until_ms=prices.until_ms, listed=listed_price)


def _reasons(stated: ModelConfig, target: TargetConfig, provider: ProviderConfig) -> bool:
    if stated.reasoning is not None:
        return stated.reasoning
    if target.published:
        return reasons(provider.family, target.published)
    return provider.first_party and reasons(provider.family, target.model)


def _published(config: Config, prices: PublishedList) -> Catalog:
    models: list[Model] = []
    known: dict[str, Model | None] = {}
    open_rules: list[tuple[Rule, Model | None]] = []
    for listed in prices.models:
        providers = [
            provider
            for provider in config.providers.values()
            if provider.family is listed.family and provider.published_prices
        ]
        if not providers:
            continue
        model = None if listed.row is None else _published_model(config, listed, providers, prices.version)
        if model is not None:
            models.append(model)
        for name in listed.names:
            known.setdefault(name, None if model is None else model.named(name))
        if listed.match is not None:
            rule = listed.match.compile()
            if model is not None:
                # First, what is this model under another name; then, what only looks like it.
                open_rules.append((_snapshots(rule, listed.bases()), model))
            open_rules.append((rule, None))
    if not models:
        raise ConfigError(("models: none is published for the configured providers; add [[models]]",))
    return Catalog(tuple(models), known, tuple(open_rules), price_version=prices.version, until_ms=prices.until_ms)


def _published_model(config: Config, listed: PublishedModel, providers: list[ProviderConfig], version: str) -> Model:
    price = _published_price(config, listed, version)
    thinks = reasons(listed.family, listed.id)
    return Model(
        name=Closed(listed.id),
        targets=tuple(
            CatalogTarget(provider, listed.id, price, thinks, capabilities=capabilities_of(provider, listed.id))
            for provider in providers
        ),
        max_output=most_output(listed.family, listed.id),
        context_window=listed.context_window,
        deprecated=listed.deprecated,
    )


def _snapshots(rule: Rule, bases: tuple[str, ...]) -> Rule:
    return lambda name: rule(name) and is_snapshot(name, bases)


def _find(prices: PublishedList, family: Family, name: str) -> PublishedModel | None:
    """The priced entry for a provider's own name of a model."""
    own = [listed for listed in prices.models if listed.family is family]
    for listed in own:
        if name in listed.names:
            return listed if listed.row is not None else None
    for listed in own:
        if listed.match is not None and listed.match.compile()(name):
            return listed if listed.row is not None and is_snapshot(name, listed.bases()) else None
    return None


def _published_price(config: Config, listed: PublishedModel, version: str) -> Price:
    assert listed.row is not None
    variants: dict[str, Row | Fraction] = {**listed.variants}
    variants |= {name: Fraction(*factor) for name, factor in listed.factors.items()}
    return _price(config, PriceConfig(listed.row, variants), version)


def _price(config: Config, stated: PriceConfig, version: str) -> Price:
    billing = config.billing
    return build(stated.row, stated.variants, credit_usd=billing.credit_usd, markup=billing.markup, version=version)


def _config_version(config: Config) -> str:
    """``config-`` and 8 hex digits that change with any stated price, the credit or the markup."""
    return "config-" + sha256("\n".join(_price_lines(config)).encode()).hexdigest()[:8]


def _price_lines(config: Config) -> Iterator[str]:
    yield f"{config.billing.credit_usd.normalize()} {config.billing.markup}"
    for model in config.models:
        for target in model.targets:
            yield f"{model.name} {target.provider} {target.model}"
            if target.price is not None:
                yield repr(sorted(target.price.row.items()))
                yield repr(sorted((name, str(price)) for name, price in target.price.variants.items()))
