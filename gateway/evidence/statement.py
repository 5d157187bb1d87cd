"""What a gateway states about itself, and receipts of single requests, signed.

Rules:

1. A statement describes this process: digests of its code (at its start) and of its policy, hosts, retention, training
   and region of each model, recorded fields, retention of records, and the hardening that the kernel confirms. It
   contains nothing about users.
2. A receipt contains the fields of the usage record, the region of the model, and the policy's digest. It contains no
   content and no digest of content.
3. The code's digest is computed once, at the start; the policy's again if the configuration is reloaded. The statement
   is signed on request, and again if the store has named other nodes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterator, Mapping
from copy import copy
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from gateway.catalog.catalog import Catalog
from gateway.catalog.retention import effective
from gateway.config import Config, DataHandling
from gateway.evidence.egress import egress
from gateway.evidence.signing import Document, Signer, canonical
from gateway.hardening.process import Measure, Measured
from gateway.telemetry.genai import EndedExchange, TokenCounts
from gateway.telemetry.log import FIELDS
from metering.accounts.retention import AUDIT_DAYS
from metering.usage import COUNTS, UsageRecord

PACKAGES = ("gateway", "metering", "providers")
WELL_KNOWN = "/.well-known/ai-privacy"
RECEIPT_HEADER = "x-receipt"
UNKNOWN_REGION = "unknown"  # of a model that is served no more, or whose targets at a provider are in several regions
REQUEST_STATE_DAYS = 35  # the ledger's tombstones, see metering/ledger/ledger.lua
_EXPORTED = {*EndedExchange.__struct_fields__, *TokenCounts.__struct_fields__} - {"tokens"}


def code_digest() -> str:
    """The digest of every file of the packages; the same as ``sha256sum`` gives for them.

    ``find gateway metering providers -type f ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum | sha256sum``
    in the folder that holds the packages.
    """
    total = hashlib.sha256()
    for name, path in sorted(_files()):
        total.update(f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {name}\n".encode())
    return f"sha256:{total.hexdigest()}"


def _files() -> Iterator[tuple[str, Path]]:
    root = Path(__file__).parents[2]
    for package in PACKAGES:
        for path in (root / package).rglob("*"):
            if "__pycache__" not in path.parts and path.is_file():
                yield path.relative_to(root).as_posix(), path


def policy_of(config: Config) -> Document:
    """The part of the configuration that decides what happens to prompts; no key, price or own address."""
    return {
        "providers": [
            {
                "name": provider.name,
                "kind": provider.kind,
                "company": provider.company,
                "endpoint": str(provider.endpoint),
                **_stated(provider.handling),
                "store_forced_off": provider.store,
            }
            for provider in config.providers.values()
        ],
        "models": [
            {
                "name": model.name,
                "targets": [
                    {
                        "provider": target.provider,
                        "model": target.model,
                        **_stated(
                            effective(target.model, target.handling or config.providers[target.provider].handling)
                        ),
                    }
                    for target in model.targets
                ],
            }
            for model in config.models
        ],
        "server_tools": sorted(config.policy.server_tools),
        "unknown_members": config.policy.unknown_members.value,
        "extended_prompt_cache": config.policy.extended_prompt_cache,
        "max_retention_days": config.policy.max_retention_days,
        "cache_isolation": config.policy.cache_isolation.value,
        "secrets": config.policy.secrets.value,
        "sought": sorted(config.policy.sought),
        "hardening": config.hardening.mode.value,
        "log_keep_days": config.log.keep_days,
    }


def models_of(catalog: Catalog) -> list[Document]:
    """Every model that is served, and what becomes of prompts to it at each of its targets."""
    return [
        {
            "name": model.name,
            "targets": [
                {"provider": target.provider.name, "model": target.model, **_stated(target.handling)}
                for target in model.targets
            ],
        }
        for model in catalog.models
    ]


def _stated(handling: DataHandling) -> Document:
    return {
        "region": handling.region.value,
        "retention_days": handling.retention_days,
        "training": handling.training,
    }


def hosts_of(config: Config, nodes: Collection[tuple[str, int]] = ()) -> list[Document]:
    """Every host that is connected to; ``nodes`` as in `egress`."""
    return [{"host": str(place), "for": place.for_, "prompts": place.prompts} for place in egress(config, nodes)]


def policy_digest(config: Config) -> str:
    return f"sha256:{hashlib.sha256(canonical(policy_of(config))).hexdigest()}"


class Evidence:
    """One process's statement and receipts. Built at start.

    ``nodes`` gives the servers that the store has named by now (`metering.store.store.Store.nodes`).
    """

    def __init__(
        self,
        config: Config,
        catalog: Catalog,
        identity_key: bytes,
        hardening: Mapping[Measure, Measured],
        started_ms: int,
        *,
        nodes: Callable[[], Collection[tuple[str, int]]] = frozenset,
    ) -> None:
        self._nodes = nodes
        self._signer = Signer(identity_key)
        self._code = code_digest()
        self._hardening = hardening
        self._started_ms = started_ms
        self.describe(config, catalog)

    def under(self, config: Config, catalog: Catalog) -> Evidence:
        """The statement and the receipts of the same process under another configuration."""
        other = copy(self)
        other.describe(config, catalog)
        return other

    def describe(self, config: Config, catalog: Catalog) -> None:
        """State this configuration from now on."""
        self._config = config
        self._regions = _regions_of(catalog)
        self._policy = policy_digest(config)
        policy = policy_of(config)
        self._statement: Document = {
            "v": 1,
            "type": "ai-privacy",
            "product": "codegrex-gateway",
            "version": version("codegrex-gateway"),
            "code": self._code,
            "policy": self._policy,
            "providers": policy["providers"],
            "models": models_of(catalog),
            "server_tools": policy["server_tools"],
            "max_retention_days": policy["max_retention_days"],
            "cache_isolation": policy["cache_isolation"],
            "secrets": policy["secrets"],
            "recorded": {
                "usage_record": list(UsageRecord.__struct_fields__),
                "log": sorted(FIELDS),
                # What a collector is sent, if there is one.
                "telemetry": [] if config.telemetry is None else sorted(_EXPORTED),
            },
            "retention": {
                "content_days": 0,
                "log_days": config.log.keep_days,
                "request_state_days": REQUEST_STATE_DAYS,
                "audit_days": AUDIT_DAYS,
            },
            "hardening": {measure.value: held.value for measure, held in self._hardening.items()},
            "started_ms": self._started_ms,
        }
        self._signed: tuple[frozenset[tuple[str, int]], bytes] | None = None

    def statement(self) -> bytes:
        """The signed statement as a body; signed once for each set of nodes."""
        nodes = frozenset(self._nodes())
        if self._signed is None or self._signed[0] != nodes:
            places = {"egress": hosts_of(self._config, nodes)}
            self._signed = nodes, canonical(self._signer.envelope(self._statement | places))
        return self._signed[1]

    def receipt_of(self, record: UsageRecord) -> Document:
        """The receipt of a settled request."""
        return {
            "v": 1,
            "type": "receipt",
            "rid": record.rid,
            "rev": record.rev,
            "provider": record.provider,
            "region": self._regions.get((record.provider, record.model), UNKNOWN_REGION),
            "model": record.model,
            "variant": record.variant,
            "started_ms": record.started_ms,
            "settled_ms": record.settled_ms,
            "counts": {name: getattr(record, name) for name in COUNTS},
            "charge": record.charge,
            "basis": record.basis,
            "outcome": record.outcome,
            "price_version": record.price_version,
            "policy": self._policy,
            "code": self._code,
        }

    def receipt_header(self, record: UsageRecord) -> str:
        """A signed receipt as the value of `RECEIPT_HEADER`."""
        return self._signer.compact(self.receipt_of(record))

    def receipt_body(self, record: UsageRecord) -> bytes:
        """A signed receipt as a body."""
        return canonical(self._signer.envelope(self.receipt_of(record)))


def _regions_of(catalog: Catalog) -> Mapping[tuple[str, str], str]:
    """By the names of provider and model in a record, where it was made."""
    regions: dict[tuple[str, str], str] = {}
    for model in catalog.models:
        for target in model.targets:
            region = target.handling.region.value
            if regions.setdefault((target.provider.name, model.name), region) != region:
                regions[target.provider.name, model.name] = UNKNOWN_REGION
    return MappingProxyType(regions)
