"""``doctor``: is this machine ready to serve with this configuration?

Rules:

1. Nothing is changed, and no store is started.
2. A provider sees a TLS handshake and ``HEAD /``: no key and no content (``check --live`` tests the keys).
3. Each line is `Judgement.OK`, `WARNING` (it serves, but look) or `FAULT` (it will not serve); a fault decides the exit
   code. A message that is not OK says how to fix it.
"""

from __future__ import annotations

import os
import resource
import shutil
import socket
import ssl
import sys
import time
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from email.utils import parsedate_to_datetime
from enum import StrEnum
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from pathlib import Path
from typing import Any, NamedTuple

import click
import orjson
from redis.exceptions import RedisError

from gateway.accounts.opening import open_configured
from gateway.cli.check import open_catalog, warnings_of
from gateway.cli.examples import examples
from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json, write_table
from gateway.cli.privacy import try_hardening
from gateway.cli.running import ask, internal_url
from gateway.cli.store import run
from gateway.config import EMBEDDED, Config, ProviderConfig
from gateway.hardening.process import OWN, Measured
from gateway.http.certificate import expires_of
from gateway.http.connections import room_for
from gateway.telemetry.otlp import Collector, ExportOutcome, Signal
from metering.clock import DAY_SECONDS
from metering.store.embedded import EmbeddedError, server_binary
from metering.store.store import info_fields

PATIENCE = 10.0
SKEW_SECONDS = 2.0  # a Date header has whole seconds
SLOW_STORE_SECONDS = 0.02  # each request waits for one round trip
LEAST_DISK = 2 << 30  # the spool takes up to 1 GiB
CERTIFICATE_DAYS = 14
PINGS = 5


class Judgement(StrEnum):
    OK = "ok"
    WARNING = "warning"
    FAULT = "fault"


class Diagnosis(NamedTuple):
    """One line: what was looked at, and what was found."""

    what: str
    judgement: Judgement
    message: str


def _ok(what: str, message: str) -> Diagnosis:
    return Diagnosis(what, Judgement.OK, message)


def _warning(what: str, message: str) -> Diagnosis:
    return Diagnosis(what, Judgement.WARNING, message)


def _fault(what: str, message: str) -> Diagnosis:
    return Diagnosis(what, Judgement.FAULT, message)


@click.command(epilog=examples("doctor --config gateway.toml", "doctor --json"))
@config_option
@json_option
def doctor(config_path: Path, as_json: bool) -> None:
    """Check that this machine can serve with the configuration.

    Looks at the store, the providers (without a key or content), the clock, limits, the disk, certificates, hardening
    and what is stated about each provider. Exit code 1 if something keeps the gateway from serving.
    """
    found: list[Diagnosis] = []
    for diagnosis in _examine(config_path):
        found.append(diagnosis)
        if as_json:
            write_json({"check": diagnosis.what, "result": diagnosis.judgement, "message": diagnosis.message})
    if not as_json:
        write_table("doctor", ("check", "result", "what"), found)
        counts = {judgement: sum(one.judgement is judgement for one in found) for judgement in Judgement}
        click.echo(f"{counts[Judgement.FAULT]} faults, {counts[Judgement.WARNING]} warnings")
    if any(one.judgement is Judgement.FAULT for one in found):
        sys.exit(OperatorError.exit_code)


def _examine(path: Path) -> Iterator[Diagnosis]:
    try:
        config = load_config(path)
        catalog = open_catalog(config)
    except OperatorError as fault:
        yield from (_fault("configuration", line) for line in fault.lines)
        return
    yield _ok("configuration", f"{path}: {len(catalog.models)} models, prices {catalog.price_version}")
    yield from _statements(config)
    yield from (_warning("statements", line) for line in warnings_of(config, catalog))
    yield from _listening(config)
    yield from _certificate(config)
    yield from _store(config)
    with ThreadPoolExecutor(max_workers=8) as pool:
        for diagnoses in pool.map(_provider, config.providers.values()):
            yield from diagnoses
    yield from _collector(config)
    yield from _limits(config)
    yield from _disk(config)
    yield from _hardening()


def _collector(config: Config) -> Iterator[Diagnosis]:
    """Whether the OpenTelemetry collector takes an export, of nothing. A gateway serves without it."""
    if config.telemetry is None:
        return
    collector = Collector(config.telemetry)
    answer = collector.post(Signal.TRACES, b"", PATIENCE)
    collector.close()
    match answer.outcome:
        case ExportOutcome.SENT:
            yield _ok("collector", "it takes traces")
        case ExportOutcome.REFUSED:
            yield _warning("collector", "it refuses exports; check telemetry.otlp_endpoint and telemetry.headers")
        case ExportOutcome.UNANSWERED:
            yield _warning("collector", "it does not answer; start it, or check telemetry.otlp_endpoint and ca_file")


def _statements(config: Config) -> Iterator[Diagnosis]:
    for provider in config.providers.values():
        of = provider.handling
        kept = f"keeps prompts for {of.retention_days} days" if of.retention_days else "keeps no prompts"
        trains = "trains on them" if of.training else "does not train on them"
        told = f"{provider.name}: {kept}, {trains}, region {of.region.value}; compare it with your contract"
        yield (_warning if of.training else _ok)("statements", told)


def _listening(config: Config) -> Iterator[Diagnosis]:
    """A gateway that runs says whether it is ready; else its ports must be free."""
    url = internal_url(config)
    ready = None if url is None else _ask_ready(url)
    if ready is not None:
        missing = ", ".join(str(one) for one in ready.get("missing", ()))
        yield _fault("gateway", f"it runs and is not ready: {missing}") if missing else _ok("gateway", "it runs, ready")
        return
    for key, host, port in (
        ("server.port", config.server.host, config.server.port),
        ("internal.port", config.internal.host, config.internal.port),
    ):
        reason = _unusable(host, port)
        if reason is None:
            yield _ok("ports", f"{key}: {host}:{port} is free")
        else:
            fix = "choose another port, or stop the program on it"
            yield _fault("ports", f"{key}: {host}:{port} cannot be used ({reason}); {fix}")


def _ask_ready(url: str) -> dict[str, Any] | None:
    try:
        found = orjson.loads(ask(url, "/readyz"))
    except (OSError, ValueError):
        return None  # nothing listens there, or another program does
    return found if isinstance(found, dict) and "missing" in found else None


def _unusable(host: str, port: int) -> str | None:
    try:
        for family, kind, proto, _name, address in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM):
            with socket.socket(family, kind, proto) as sock:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                sock.bind(address)
    except OSError as error:
        return error.strerror or "unknown address"
    return None


def _certificate(config: Config) -> Iterator[Diagnosis]:
    if config.server.tls_cert is None:
        how = "a proxy ends TLS" if config.server.behind_tls_proxy else "plain http, on this machine only"
        yield _ok("certificate", f"none: {how}")
        return
    yield _lifetime("certificate", "server.tls_cert", expires_of(config.server.tls_cert))


def _lifetime(what: str, whose: str, ends: int) -> Diagnosis:
    days = int(ends - time.time()) // DAY_SECONDS
    if days < 0:
        return _fault(what, f"{whose} has expired; renew it")
    told = f"{whose} is valid for {days} more days"
    return _warning(what, f"{told}; renew it") if days < CERTIFICATE_DAYS else _ok(what, told)


def _store(config: Config) -> Iterator[Diagnosis]:
    if config.store.url == EMBEDDED:
        try:
            server_binary()
        except EmbeddedError as error:
            yield _fault("store", f"store.url: {error}")
        else:
            yield _ok("store", "embedded: the gateway starts it; for one machine")
        return
    try:
        yield from run(_store_found(config))
    except OperatorError as fault:
        yield from (_fault("store", line) for line in fault.lines)


async def _store_found(config: Config) -> list[Diagnosis]:
    store = await open_configured(config)
    try:
        found = [_fault("store", fault) for fault in await store.check()]
        times = []
        for _ in range(PINGS):
            began = time.perf_counter()
            await store.on_primaries("PING")
            times.append(time.perf_counter() - began)
        told = f"{store.info.server} {store.info.version} answers in {min(times) * 1_000:.1f} ms"
        slow = min(times) > SLOW_STORE_SECONDS
        found.append(
            _warning("store", f"{told}, which each request waits for; move it closer") if slow else _ok("store", told)
        )
        before, (reply, *_) = time.time(), await store.on_primaries("TIME")
        away = int(reply[0]) + int(reply[1]) / 1e6 - (before + time.time()) / 2
        found.append(_skew("the store's clock", away))
        try:
            persistent = [
                info_fields(one).get("aof_enabled") == "1" for one in await store.on_primaries("INFO", "persistence")
            ]
        except RedisError:
            persistent = []
        if not all(persistent):
            found.append(
                _warning("store", "appendonly is off: a restart of the store loses credits; set appendonly yes")
            )
        return found
    finally:
        await store.close()


def _skew(whose: str, seconds: float) -> Diagnosis:
    if abs(seconds) <= SKEW_SECONDS:
        return _ok("clock", f"{whose} and this machine's agree")
    way = "ahead of" if seconds > 0 else "behind"
    return _warning("clock", f"{whose} is {abs(seconds):.0f} s {way} this machine's; run a time service on both")


def _provider(provider: ProviderConfig) -> list[Diagnosis]:
    """Whether the provider's host can be reached and proves who it is. It gets neither a key nor content."""
    at, name = provider.endpoint, provider.name
    connection: HTTPConnection
    if at.tls:
        context = ssl.create_default_context(cafile=None if provider.ca_file is None else str(provider.ca_file))
        connection = HTTPSConnection(at.host, at.port, timeout=PATIENCE, context=context)
    else:
        connection = HTTPConnection(at.host, at.port, timeout=PATIENCE)
    try:
        began = time.perf_counter()
        connection.connect()
        took = f"connected in {(time.perf_counter() - began) * 1_000:.0f} ms"
        secured = ""
        if isinstance(connection.sock, ssl.SSLSocket):
            secured = f", {connection.sock.version()}"
        connection.request("HEAD", "/", headers={"user-agent": "codegrex-gateway-doctor"})
        answer = connection.getresponse()
        found = [_ok("providers", f"{name}: {at.address} {took}{secured}")]
        date = answer.getheader("date")
        if date is not None:
            away = parsedate_to_datetime(date).timestamp() - time.time()
            found.append(_skew(f"the clock of {name}", away))
    except ssl.SSLCertVerificationError as error:
        fix = "check base_url, or state its authority in ca_file"
        return [_fault("providers", f"{name}: {at.address} has no valid certificate ({error.verify_message}); {fix}")]
    except (OSError, HTTPException, ValueError) as error:
        reason = (error.strerror if isinstance(error, OSError) else None) or type(error).__name__
        fix = "check base_url, the name service and the firewall"
        return [_fault("providers", f"{name}: {at.address} cannot be reached ({reason}); {fix}")]
    else:
        return found
    finally:
        connection.close()


def _limits(config: Config) -> Iterator[Diagnosis]:
    server, most = config.server, resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    fits = server.max_connections if most == resource.RLIM_INFINITY else room_for(most, server.max_connections)
    if fits < server.max_connections:
        fix = f"raise the limit of open files to {2 * server.max_connections + 64} (LimitNOFILE=), or lower it"
        yield _warning("limits", f"a worker takes {fits} of server.max_connections {server.max_connections}; {fix}")
    else:
        yield _ok("limits", f"open files: {fits} connections for each worker")
    processors = len(os.sched_getaffinity(0))
    if server.workers > processors:
        fix = "set server.workers to the number of processors"
        yield _warning("limits", f"{server.workers} workers on {processors} processors; {fix}")
    else:
        yield _ok("limits", f"{server.workers} workers on {processors} processors")
    memory, bodies = _memory(), server.workers * server.max_inflight_body_bytes
    if bodies > memory:
        fix = "lower server.max_inflight_body_bytes, or workers"
        yield _warning("limits", f"request bodies may take {bodies >> 20} MiB of {memory >> 20} MiB of memory; {fix}")
    else:
        yield _ok("limits", f"memory: {memory >> 20} MiB, of which request bodies take {bodies >> 20} MiB at most")


def _memory() -> int:
    """Bytes that this process and others may use: of the machine, or of the control group if that has fewer."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        group = Path("/proc/self/cgroup").read_text().strip().rpartition("::")[2]
        return min(machine, int(Path(f"/sys/fs/cgroup{group}/memory.max").read_text()))
    except (OSError, ValueError):
        return machine


def _disk(config: Config) -> Iterable[Diagnosis]:
    at = config.server.data_dir.absolute()
    while not at.exists():
        at = at.parent
    free = shutil.disk_usage(at).free
    if free < LEAST_DISK:
        yield _warning("disk", f"server.data_dir has {free >> 20} MiB left; the spool takes up to 1 GiB: free space")
    else:
        yield _ok("disk", f"server.data_dir has {free >> 30} GiB left")


def _hardening() -> Iterator[Diagnosis]:
    here = try_hardening()["here"]
    names = {measure.value for measure in OWN}
    for measure, held in here.items():
        if held == Measured.YES:
            continue
        if measure in names:
            fix = (
                "a newer kernel, or a container that allows it, has it"
                if held == Measured.LACKED
                else "see docs/privacy.md"
            )
            yield _warning("hardening", f"{measure} does not work here; {fix}")
        else:
            yield _warning("hardening", f"{measure} does not hold; the operator sets it up (docs/privacy.md)")
    held_count = sum(held == Measured.YES for held in here.values())
    yield _ok("hardening", f"{held_count} of {len(here)} measures work")
