"""What a gateway states about itself, and receipts of single requests, signed.

Rules:

1. A statement says what is so in this process: digests of the code that was there when it started and
   of the policy that it follows, hosts, recorded fields, retention, and the hardening that the kernel
   confirms. It says nothing of any user.
2. A receipt holds what the usage record holds, the provider's region and the policy's digest: no
   content, and no digest of content.
3. Digests are taken once, at the start; a signature when somebody asks.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from importlib.metadata import version
from pathlib import Path
from types import MappingProxyType

from gateway.config import Config
from gateway.evidence.egress import egress
from gateway.evidence.signing import Document, Signer, canonical
from gateway.hardening.process import Measure, Measured
from gateway.telemetry.log import FIELDS
from metering.accounts.retention import AUDIT_DAYS
from metering.usage import COUNTS, UsageRecord

PACKAGES = ("gateway", "metering", "providers")
WELL_KNOWN = "/.well-known/ai-privacy"
RECEIPT_HEADER = "x-receipt"
REQUEST_STATE_DAYS = 35  # the ledger's tombstones, see metering/ledger/ledger.lua


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
    """The part of the configuration that decides what happens to prompts; no key, no price, no address of ours."""
    return {
        "providers": [
            {
                "name": provider.name,
                "kind": provider.family.value,
                "company": provider.company,
                "endpoint": str(provider.endpoint),
                "region": provider.region.value,
                "retention_days": provider.retention_days,
                "training": provider.training,
                "store_forced_off": provider.store,
            }
            for provider in config.providers.values()
        ],
        "models": [
            {"name": model.name, "targets": [f"{target.provider}/{target.model}" for target in model.targets]}
            for model in config.models
        ],
        "server_tools": sorted(config.policy.server_tools),
        "unknown_members": config.policy.unknown_members.value,
        "extended_prompt_cache": config.policy.extended_prompt_cache,
        "cache_isolation": config.policy.cache_isolation.value,
        "secrets": config.policy.secrets.value,
        "sought": sorted(config.policy.sought),
        "hardening": config.hardening.mode.value,
        "log_keep_days": config.log.keep_days,
    }


def policy_digest(config: Config) -> str:
    return f"sha256:{hashlib.sha256(canonical(policy_of(config))).hexdigest()}"


class Evidence:
    """One process's statement and receipts. Built at start."""

    def __init__(
        self, config: Config, identity_key: bytes, hardening: Mapping[Measure, Measured], started_ms: int
    ) -> None:
        self._signer = Signer(identity_key)
        self._regions = MappingProxyType({name: provider.region.value for name, provider in config.providers.items()})
        self._code = code_digest()
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
            "server_tools": policy["server_tools"],
            "cache_isolation": policy["cache_isolation"],
            "secrets": policy["secrets"],
            "egress": [{"host": str(place), "for": place.for_, "prompts": place.prompts} for place in egress(config)],
            "recorded": {"usage_record": list(UsageRecord.__struct_fields__), "log": sorted(FIELDS)},
            "retention": {
                "content_days": 0,
                "log_days": config.log.keep_days,
                "request_state_days": REQUEST_STATE_DAYS,
                "audit_days": AUDIT_DAYS,
            },
            "hardening": {measure.value: held.value for measure, held in hardening.items()},
            "started_ms": started_ms,
        }
        self._body = b""

    def statement(self) -> bytes:
        """The signed statement as a body; signed once."""
        if not self._body:
            self._body = canonical(self._signer.envelope(self._statement))
        return self._body

    def receipt_of(self, record: UsageRecord) -> Document:
        """The receipt of a settled request."""
        return {
            "v": 1,
            "type": "receipt",
            "rid": record.rid,
            "rev": record.rev,
            "provider": record.provider,
            "region": self._regions.get(record.provider, "unknown"),  # a provider that is configured no more
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
