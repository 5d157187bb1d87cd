"""What another gateway is told: its files, its command line and its environment, as values.

Rules:

1. A writer is a pure function of a `PeerPlace`; `benchmarks.peers.contender` does what it says.
2. Every contender speaks to the simulator only: lists of models and prices, checks for updates and the like are off.
3. What is not about that, the size of bodies, or its own records keeps the product's default.
4. The names of settings are those of the products' own documentation.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

MODEL = "bench"
_BODY_MB = 64


@dataclass(frozen=True, slots=True)
class PeerPlace:
    """Where a contender runs.

    Attributes:
        program: The path that was given for it.
        folder: Its own, where it may write; also its home and its working directory.
        port: On which it shall listen, on loopback.
        spare: Three more free ports.
        upstream: The simulator, without a path.
        key: The token of its callers, if it knows any.
    """

    program: Path
    folder: Path
    port: int
    spare: tuple[int, int, int]
    upstream: str
    key: str


@dataclass(frozen=True, slots=True)
class PeerSetup:
    """How to start a contender in a `PeerPlace`, and how to call it.

    Attributes:
        files: Texts by their names in the folder, written before the start.
        headers: ``Name: value``, sent with each request.
        records: Its database (SQLite) and the query that gives each recorded request's input tokens; ``None`` where
            it keeps no records.
        script: What runs, if the path that was given is only on the way to it.
    """

    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    model: str = MODEL
    headers: tuple[str, ...] = ()
    records: tuple[Path, str] | None = None
    script: Path | None = None


Writer = Callable[[PeerPlace], PeerSetup]


@dataclass(frozen=True, slots=True)
class PeerKind:
    """A product in one of its forms. ``variable`` names the path of its program in the environment."""

    name: str
    variable: str
    write: Writer


def gomodel(place: PeerPlace, *, usage: bool = False, budgets: bool = False) -> PeerSetup:
    """GoModel. With ``usage`` it records each request; with ``budgets`` it also checks a budget before each."""
    database = place.folder / "records.db"
    environment = {
        "PORT": str(place.port),
        "GOMODEL_MASTER_KEY": place.key,
        "GOMODEL_OFFLINE": "true",
        "GOMODEL_VERSION_CHECK_ENABLED": "false",
        "GOMODEL_CACHE_DIR": str(place.folder / "cache"),
        "MODEL_LIST_URL": "off",
        "CONFIGURED_PROVIDER_MODELS_MODE": "allowlist",
        "OPENAI_API_KEY": "none",
        "OPENAI_BASE_URL": f"{place.upstream}/v1",
        "OPENAI_MODELS": MODEL,
        "BODY_SIZE_LIMIT": f"{_BODY_MB}M",
        "SQLITE_PATH": str(database),
        "PID_FILE": str(place.folder / "pid"),
        "LOG_LEVEL": "warn",
        "LOGGING_ENABLED": "false",  # its audit log holds prompts and answers
        "USAGE_ENABLED": str(usage).lower(),
        "BUDGETS_ENABLED": str(budgets).lower(),
    }
    if budgets:
        environment["SET_BUDGET_"] = "monthly=1000000"  # for everybody: no path follows
    records = (database, "SELECT input_tokens FROM usage") if usage else None
    return PeerSetup((str(place.program),), environment, records=records)


def bifrost(place: PeerPlace, *, logs: bool = False) -> PeerSetup:
    """Bifrost. With ``logs`` its store of logs is on, without content."""
    database = place.folder / "logs.db"
    sheets = {"pricing.json": "{}", "parameters.json": "{}"}
    config = {
        "client": {
            "enable_logging": logs,
            "disable_content_logging": True,
            "drop_excess_requests": False,
            "max_request_body_size_mb": _BODY_MB,
        },
        "framework": {
            "pricing": {
                "pricing_url": f"file://{place.folder}/pricing.json",
                "model_parameters_url": f"file://{place.folder}/parameters.json",
            }
        },
        "providers": {
            "openai": {
                "keys": [{"name": "simulator", "value": "none", "models": ["*"], "weight": 1}],
                "network_config": {"base_url": place.upstream, "default_request_timeout_in_seconds": 600},
            }
        },
        # Without it some versions end at their start: they build the pages of a part that needs it.
        "config_store": {"enabled": True, "type": "sqlite", "config": {"path": str(place.folder / "config.db")}},
        "logs_store": {"enabled": logs, "type": "sqlite", "config": {"path": str(database)}},
    }
    command = [str(place.program), "-app-dir", str(place.folder), "-host", "127.0.0.1", "-port", str(place.port)]
    return PeerSetup(
        (*command, "-log-level", "error"),
        files=sheets | {"config.json": json.dumps(config, indent=1)},
        model=f"openai/{MODEL}",
        records=(database, "SELECT prompt_tokens FROM logs WHERE status = 'success'") if logs else None,
    )


def agentgateway(place: PeerPlace, *, database: bool = False) -> PeerSetup:
    """agentgateway. With ``database`` it records each request there. Its access log is off in both."""
    file = place.folder / "records.db"
    admin, stats, readiness = (f"127.0.0.1:{port}" for port in place.spare)
    config: dict[str, object] = {
        "adminAddr": admin,
        "statsAddr": stats,
        "readinessAddr": readiness,
        "logging": {"filter": "false"},
    }
    if database:
        config["database"] = {"url": f"sqlite://{file}?mode=rwc"}
    params = {"baseUrl": f"{place.upstream}/v1", "model": MODEL, "apiKey": "none"}
    whole = {
        "config": config,
        "frontendPolicies": {"http": {"maxBufferSize": _BODY_MB << 20}},
        "llm": {"port": place.port, "models": [{"name": MODEL, "provider": "openAI", "params": params}]},
    }
    return PeerSetup(
        (str(place.program), "-f", "config.yaml"),
        files={"config.yaml": json.dumps(whole, indent=1) + "\n"},  # JSON is YAML, too
        records=(file, "SELECT input_tokens FROM request_logs") if database else None,
    )


# It listens on every address of the machine, and has no setting for that.
_LOOPBACK = """const net = require("node:net");
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (port, host, ...rest) {
  return listen.call(this, port, host ?? "127.0.0.1", ...rest);
};
"""
_START = ("build/start-server.js", "node_modules/@portkey-ai/gateway/build/start-server.js")


def portkey(place: PeerPlace) -> PeerSetup:
    """Portkey's gateway, a script or a folder with it. Each request says where it goes; it keeps no records."""
    found = [place.program / start for start in _START if (place.program / start).exists()]
    script = found[0] if found else place.program
    command = ("node", "--require", "./loopback.cjs", str(script), f"--port={place.port}", "--headless")
    headers = ("x-portkey-provider: openai", f"x-portkey-custom-host: {place.upstream}/v1")
    return PeerSetup(command, {"NODE_ENV": "production"}, {"loopback.cjs": _LOOPBACK}, headers=headers, script=script)


KINDS = (
    PeerKind("gomodel", "GOMODEL", gomodel),
    PeerKind("gomodel+usage", "GOMODEL", partial(gomodel, usage=True)),
    PeerKind("gomodel+budgets", "GOMODEL", partial(gomodel, usage=True, budgets=True)),
    PeerKind("bifrost", "BIFROST", bifrost),
    PeerKind("bifrost+logs", "BIFROST", partial(bifrost, logs=True)),
    PeerKind("agentgateway", "AGENTGATEWAY", agentgateway),
    PeerKind("agentgateway+database", "AGENTGATEWAY", partial(agentgateway, database=True)),
    PeerKind("portkey", "PORTKEY", portkey),
)
