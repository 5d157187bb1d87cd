"""Every host that a configuration leads to, and no other; and nothing opens a connection to what is not on the list."""

import ast
import re
from dataclasses import fields, is_dataclass, replace
from pathlib import Path

import pytest

from gateway.config import (
    Cloud,
    Config,
    CredentialSource,
    DataHandling,
    Endpoint,
    MachineCredentials,
    PortalConfig,
    ProviderConfig,
    Region,
    ServiceAccount,
    StoreConfig,
    StripeConfig,
    SupabaseConfig,
    TelemetryConfig,
    WebhookConfig,
)
from gateway.evidence.egress import egress
from providers.dialect import Family

ROOT = Path(__file__).parents[3]
NOTHING_KEPT = DataHandling(0, False, Region.GLOBAL)
OPENERS = frozenset((
    "open_connection", "open_unix_connection", "create_connection", "create_unix_connection", "sock_connect",
    "connect_ex", "start_connection", "create_datagram_endpoint", "ClientSession", "TCPConnector", "HTTPConnection",
    "HTTPSConnection", "urlopen", "build_opener", "Redis", "RedisCluster", "Cluster", "Sentinel", "StripeClient",
    "InstanceMetadataFetcher", "ContainerMetadataFetcher",
    "import_module",  # of what is not seen in the imports: each is here with what it loads
))  # fmt: skip
OPENED = {
    "gateway/upstream/origin.py": "providers.*",
    "gateway/upstream/tokens.py": "providers.*: tokens",
    "gateway/upstream/machine_credentials.py": "providers.*: credentials",
    "metering/store/store.py": "store",
    "metering/store/link.py": "store",
    "metering/store/embedded.py": "a Unix socket in the data directory",
    "gateway/auth/announcements.py": "store",
    "gateway/portal/supabase.py": "supabase",
    "gateway/accounts/webhooks.py": "webhooks",
    "metering/stripe/meter.py": "stripe: export",
    "gateway/telemetry/otlp.py": "telemetry",
    "gateway/cli/live.py": "providers.*, of `check --live`: SDKs, and a socket for Bedrock",
    "gateway/cli/doctor.py": "providers.*, the store and the internal listener, of `doctor`",
    "gateway/cli/running.py": "the internal listener, of `top`, `doctor` and `privacy status`",
    "gateway/cli/token.py": "the gateway that a helper's command line names",
    "gateway/local/engine.py": "loopback and Unix sockets, in a program of its own",
    "gateway/cli/__init__.py": "its own commands",
    "gateway/inference/detection.py": "rules, no host",
    "gateway/inference/secret_rules.py": "rules, no host",
    "gateway/inference/telephone.py": "rules, no host",
}
"""What each module that can open a connection connects to. The rows of `egress`, or why there is none."""
SERVED = {"server.host", "internal.host"}  # listened on
LINKED = {"portal.url", "portal.sign_in_url"}  # shown to people and their browsers


def config(store: str = "embedded:") -> Config:
    def provider(name, host, port):
        return ProviderConfig(name, Family.OPENAI, Endpoint(True, host, port), ("k",), NOTHING_KEPT, name)

    providers = {"a": provider("a", "a.example", 443), "b": provider("b", "::1", 8443)}
    return Config(path=None, providers=providers, store=StoreConfig(store))


@pytest.mark.parametrize(
    ("store", "more"),
    [
        ("embedded:", []),
        ("redis://user:secret@store.example", ["store.example:6379"]),
        ("rediss+cluster://store.example:7000", ["store.example:7000"]),
        ("redis+sentinel://:secret@a.store:1,b.store/main", ["a.store:1", "b.store:26379"]),
    ],
)
def test_hosts(store, more):
    found = egress(config(store))
    assert [str(place) for place in found] == ["a.example:443", "[::1]:8443", *more]
    assert [place.prompts for place in found] == [True, True, *(False for _ in more)]
    assert [place.for_ for place in found[:2]] == ["providers.a", "providers.b"]
    assert "secret" not in repr(found)


def everything(jwt_secret: bytes | None = None) -> Config:
    stated = config("redis+cluster://seed.example:7000")
    account = ServiceAccount({"private_key": "secret"}, "https://tokens.example/token")
    lent = MachineCredentials(False, CredentialSource.CONTAINER, "http://169.254.170.2/v2/1", "secret")
    vertex = replace(stated.providers["a"], api_keys=(), cloud=Cloud.VERTEX, account=account)
    vertex = replace(vertex, machine=lent)  # both in one, for the list
    return replace(
        stated,
        providers={**stated.providers, "a": vertex},
        supabase=SupabaseConfig("https://project.supabase.example/auth/v1", "authenticated", jwt_secret),
        webhooks=WebhookConfig("https://hooks.example:8443/codegrex?key=secret", b"s" * 24),
        telemetry=TelemetryConfig("https://collector.example:4318/path", headers=(("authorization", "secret"),)),
        stripe=StripeConfig("sk_secret"),
        portal=PortalConfig("https://portal.example", "https://sign-in.example"),
    )


def test_the_services_around_the_gateway_and_the_nodes_that_the_store_names():
    found = egress(everything(), {("seed.example", 7000), ("10.0.0.2", 7001)})
    assert [(str(place), place.for_) for place in found if not place.prompts] == [
        ("tokens.example:443", "providers.a: tokens"),
        ("169.254.170.2:80", "providers.a: credentials"),
        ("seed.example:7000", "store"),
        ("10.0.0.2:7001", "store: named by it"),
        ("project.supabase.example:443", "supabase"),
        ("hooks.example:8443", "webhooks"),
        ("collector.example:4318", "telemetry"),
        ("api.stripe.com:443", "stripe: export"),
    ]
    assert "secret" not in repr(found)
    assert "supabase" not in {place.for_ for place in egress(everything(b"s" * 32))}  # no key is fetched


def addresses(value, path=""):
    """The dotted name and the text of every address that a configuration holds."""
    if isinstance(value, Endpoint):
        yield path, value.host
    elif is_dataclass(value):
        names = {field.name for field in fields(value)} | {n for n in dir(type(value)) if n.endswith("_url")}
        for name in sorted(names):
            yield from addresses(getattr(value, name), f"{path}.{name}".lstrip("."))
    elif isinstance(value, dict):
        for name, inner in value.items():
            yield from addresses(inner, f"{path}.{name}")
    elif isinstance(value, str) and re.search(r"(^|[._])(host|url|uri|issuer|endpoint)$", path):
        yield path, value


def test_every_address_of_the_configuration_is_listened_on_shown_or_listed():
    hosts = {place.host for place in egress(everything())}
    found = dict(addresses(everything()))
    assert found.keys() >= SERVED | LINKED
    assert len(found) >= 9
    unlisted = {name for name, text in found.items() if not any(host in text for host in hosts)}
    assert unlisted == SERVED | LINKED


def called(path: Path) -> set[str]:
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            function = node.func
            names.add(function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", ""))
    return names


def test_every_module_that_opens_a_connection_says_to_what():
    found = {
        path.relative_to(ROOT).as_posix()
        for root in ("gateway", "metering", "providers")
        for path in (ROOT / root).rglob("*.py")
        if called(path) & OPENERS
    }
    assert found == OPENED.keys()
    rows = {place.for_.replace("providers.a", "providers.*") for place in egress(everything()) if not place.prompts}
    assert rows <= set(OPENED.values())
