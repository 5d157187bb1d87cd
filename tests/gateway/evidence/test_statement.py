"""What a gateway states is so: digests that anybody can take, a policy without secrets, receipts without content."""

import hashlib
import subprocess
from dataclasses import replace
from decimal import Decimal
from pathlib import Path

import msgspec
import orjson
import pytest

from gateway.catalog.catalog import Catalog, CatalogTarget, Model
from gateway.config import (
    CacheIsolation,
    Config,
    DataHandling,
    Endpoint,
    IdentityConfig,
    LogConfig,
    ModelConfig,
    PolicyConfig,
    ProviderConfig,
    Region,
    SecretsRule,
    TargetConfig,
    TelemetryConfig,
)
from gateway.evidence.signing import opened
from gateway.evidence.statement import Evidence, code_digest, policy_digest, policy_of
from gateway.hardening.process import observe
from metering.pricing import build
from metering.usage import COUNTS, UsageRecord
from providers.dialect import Family

ROOT = Path(__file__).parents[3]
KEPT = DataHandling(30, False, Region.EU)
PROVIDER = ProviderConfig(
    "openai", Family.OPENAI, Endpoint(True, "eu.api.openai.com", 443), ("sk-secret",), KEPT, "OpenAI"
)
CONFIG = Config(path=Path("gateway.toml"), providers={"openai": PROVIDER}, identity=IdentityConfig(b"secret" * 8))
RECORD = UsageRecord(
    rid="req_" + "0" * 32,
    rev=1,
    pid="account-id",
    provider="openai",
    model="m",
    variant="standard",
    started_ms=1,
    settled_ms=2,
    cost=3,
    charge=4,
    basis="reported",
    outcome="completed",
    price_version="p",
    **dict.fromkeys(COUNTS, 7),
)

PRICE = build(
    {"input": ((0, Decimal(1)),), "output": ((0, Decimal(1)),)},
    {},
    credit_usd=Decimal("0.01"),
    markup=Decimal(1),
    version="p",
)


def target(model: str, stated: DataHandling | None = None) -> CatalogTarget:
    return CatalogTarget(PROVIDER, model, PRICE, False, stated)


def catalog(*targets: CatalogTarget) -> Catalog:
    return Catalog((Model("m", targets),), {}, price_version="p")


def evidence(config: Config = CONFIG, *targets: CatalogTarget) -> Evidence:
    return Evidence(config, catalog(*targets or (target("gpt"),)), b"k" * 32, observe(), 5)


def test_the_code_s_digest_is_what_sha256sum_says():
    script = "find gateway metering providers -type f ! -path '*/__pycache__/*' | LC_ALL=C sort | xargs sha256sum | sha256sum"
    assert script in " ".join((code_digest.__doc__ or "").split("``"))
    done = subprocess.run(["sh", "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert code_digest() == f"sha256:{done.stdout.split()[0]}"


@pytest.mark.parametrize(
    "changed",
    [
        {"providers": {"openai": replace(PROVIDER, handling=replace(KEPT, training=True))}},
        {"providers": {"openai": replace(PROVIDER, handling=replace(KEPT, retention_days=0))}},
        {"providers": {"openai": replace(PROVIDER, handling=replace(KEPT, region=Region.US))}},
        {"providers": {"openai": replace(PROVIDER, endpoint=Endpoint(True, "other.example", 443))}},
        {"models": (ModelConfig("m", (TargetConfig("openai", "gpt"),)),)},
        {"providers": {}},
        {"policy": PolicyConfig(server_tools=frozenset())},
        {"policy": PolicyConfig(max_retention_days=0)},
        {"policy": PolicyConfig(cache_isolation=CacheIsolation.ACCOUNT)},
        {"policy": PolicyConfig(secrets=SecretsRule.MASK)},
        {"log": LogConfig(keep_days=15)},
    ],
)
def test_the_policy_s_digest_changes_with_the_policy(changed):
    assert policy_digest(replace(CONFIG, **changed)) != policy_digest(CONFIG)


def test_no_secret_is_part_of_it():
    other = replace(PROVIDER, api_keys=("sk-other",))
    assert policy_digest(replace(CONFIG, providers={"openai": other})) == policy_digest(CONFIG)
    for hidden in ("sk-secret", "secretsecret"):
        assert hidden not in repr(policy_of(CONFIG))
        assert hidden.encode() not in evidence().statement()


def test_the_statement():
    found, _ = opened(evidence().statement())
    assert (found["type"], found["v"], found["started_ms"]) == ("ai-privacy", 1, 5)
    assert found["code"] == code_digest()
    assert (
        found["policy"]
        == f"sha256:{hashlib.sha256(orjson.dumps(policy_of(CONFIG), option=orjson.OPT_SORT_KEYS)).hexdigest()}"
    )
    assert found["egress"] == [{"host": "eu.api.openai.com:443", "for": "providers.openai", "prompts": True}]
    assert found["recorded"]["usage_record"] == list(UsageRecord.__struct_fields__)
    assert found["recorded"]["telemetry"] == []
    assert (found["retention"]["content_days"], found["retention"]["log_days"]) == (0, 14)
    assert set(found["hardening"].values()) <= {"yes", "no", "kernel lacks it"}


def test_what_a_collector_is_sent_is_a_part_of_it():
    exporting = replace(CONFIG, telemetry=TelemetryConfig("https://collector.example"))
    found, _ = opened(evidence(exporting).statement())
    assert {"rid", "model", "inputs", "seconds"} < set(found["recorded"]["telemetry"])
    assert {"host": "collector.example:443", "for": "telemetry", "prompts": False} in found["egress"]


def test_a_statement_is_signed_once():
    asked = evidence()
    assert asked.statement() is asked.statement()


def test_a_receipt_says_what_was_counted_and_where_and_not_of_whom():
    for form in (evidence().receipt_header(RECORD).encode(), evidence().receipt_body(RECORD)):
        found, public = opened(form)
        assert public == opened(evidence().statement())[1]
        assert (found["rid"], found["charge"], found["provider"], found["region"]) == (RECORD.rid, 4, "openai", "eu")
        assert found["counts"] == dict.fromkeys(COUNTS, 7)
        assert found["policy"] == policy_digest(CONFIG)
        assert "account-id" not in repr(found)
        assert "cost" not in found


def test_a_header_s_receipt_fits_into_a_header():
    assert len(evidence().receipt_header(RECORD)) < 4_096
    assert evidence().receipt_header(RECORD).isascii()


def test_a_model_that_is_served_no_more_is_nowhere_and_so_is_one_that_may_have_been_in_two_places():
    assert evidence().receipt_of(replace_record(model="another"))["region"] == "unknown"
    both = evidence(CONFIG, target("gpt"), target("other", replace(KEPT, region=Region.US)))
    assert both.receipt_of(RECORD)["region"] == "unknown"


def test_the_statement_and_a_receipt_are_about_the_model_and_not_its_provider():
    stated = DataHandling(0, True, Region.US)
    found, _ = opened(evidence(CONFIG, target("claude-fable-5", stated)).statement())
    place = {"provider": "openai", "model": "claude-fable-5", "retention_days": 30, "training": True, "region": "us"}
    assert found["models"] == [{"name": "m", "targets": [place]}]
    assert evidence(CONFIG, target("gpt", stated)).receipt_of(RECORD)["region"] == "us"


def replace_record(**changed):
    return msgspec.structs.replace(RECORD, **changed)
