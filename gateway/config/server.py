"""``[server]``: the public listener, its limits and its timeouts."""

from __future__ import annotations

import os
import ssl
from dataclasses import dataclass
from decimal import Decimal
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import TypeAlias

from gateway.addresses import is_loopback
from gateway.config.reader import Section

TrustedNetworks: TypeAlias = tuple[IPv4Network | IPv6Network, ...]

KEEP_ALIVE_OF_PROXIES = 3630.0  # longer than load balancers keep idle connections: they must close first


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The public listener. Times are seconds, sizes bytes; a port of 0 takes any free one."""

    host: str = "127.0.0.1"
    port: int = 8080
    workers: int = 1
    data_dir: Path = Path("data")
    max_body_bytes: int = 32 << 20
    max_inflight_body_bytes: int = 1 << 30  # request bodies, and copies of them, held by one worker at once
    account_share: float = 0.5  # of what one worker has for all, the part that one account may hold
    body_timeout: float = 180.0  # for a whole body, even if bytes keep arriving
    head_timeout: float = 20.0  # for a request's head, and a TLS handshake
    keep_alive_timeout: float = 75.0  # between two requests of a connection
    max_requests: int = 8_192  # running at one worker; fewer if it accepts fewer connections
    unpaid_requests_per_minute: int = 600  # of an account, at one worker: refused and unbilled ones
    stranger_refusals_per_minute: int = 1_200  # of a network, at one worker: without a token, and refused
    max_connections: int = 10_000  # of clients, at one worker; fewer where its descriptor table is small
    max_connections_per_address: int = 0  # 0 is half of what the worker takes
    tls_cert: Path | None = None
    tls_key: Path | None = None
    behind_tls_proxy: bool = False
    trusted_proxies: TrustedNetworks = ()  # whose X-Forwarded-For counts; none stated is every peer's
    connect_timeout: float = 5.0
    first_byte_timeout: float = 600.0
    attempts_timeout: float = 0.0  # until the answer's first byte, over all attempts of a request; 0 is no limit
    idle_timeout: float = 300.0
    drain_timeout: float = 600.0
    opening_timeout: float = 2.0  # for which a stream without output is held, so that a failure can be failed over
    keep_alive_seconds: float = 15.0  # after which a quiet stream gets a sign of life; 0 is never
    abort_grace: float = 2.0  # for which a stream whose client left is read on for its usage; 0 is not at all

    @property
    def over_tls(self) -> bool:
        """Whether callers come over TLS, which the listener ends itself or a proxy before it."""
        return self.tls_cert is not None or self.behind_tls_proxy


def read_server(root: Section) -> ServerConfig:
    section, usual = root.table("server"), ServerConfig()
    data_dir = section.path("data_dir", str(usual.data_dir))
    assert data_dir is not None
    behind_tls_proxy = section.boolean("behind_tls_proxy", usual.behind_tls_proxy)
    config = ServerConfig(
        host=section.string("host", usual.host),
        port=section.integer("port", usual.port, 0, 65_535),
        workers=section.integer("workers", os.cpu_count() or 1, 1, 1_024),
        data_dir=data_dir,
        max_body_bytes=section.integer("max_body_bytes", usual.max_body_bytes, 1_024),
        max_inflight_body_bytes=section.integer("max_inflight_body_bytes", usual.max_inflight_body_bytes, 1_024),
        account_share=float(section.decimal("account_share", Decimal(str(usual.account_share)))),
        body_timeout=section.seconds("body_timeout", usual.body_timeout),
        head_timeout=section.seconds("head_timeout", usual.head_timeout),
        keep_alive_timeout=section.seconds(
            "keep_alive_timeout", KEEP_ALIVE_OF_PROXIES if behind_tls_proxy else usual.keep_alive_timeout
        ),
        max_requests=section.integer("max_requests", usual.max_requests, 4),
        unpaid_requests_per_minute=section.integer("unpaid_requests_per_minute", usual.unpaid_requests_per_minute, 1),
        stranger_refusals_per_minute=section.integer(
            "stranger_refusals_per_minute", usual.stranger_refusals_per_minute, 1
        ),
        max_connections=section.integer("max_connections", usual.max_connections, 16),
        max_connections_per_address=section.integer(
            "max_connections_per_address", usual.max_connections_per_address, 0
        ),
        tls_cert=section.path("tls_cert"),
        tls_key=section.path("tls_key"),
        behind_tls_proxy=behind_tls_proxy,
        trusted_proxies=_networks(section, "trusted_proxies"),
        connect_timeout=section.seconds("connect_timeout", usual.connect_timeout),
        first_byte_timeout=section.seconds("first_byte_timeout", usual.first_byte_timeout),
        attempts_timeout=section.seconds("attempts_timeout", usual.attempts_timeout, zero=True),
        idle_timeout=section.seconds("idle_timeout", usual.idle_timeout),
        drain_timeout=section.seconds("drain_timeout", usual.drain_timeout),
        opening_timeout=section.seconds("opening_timeout", usual.opening_timeout),
        keep_alive_seconds=section.seconds("keep_alive_seconds", usual.keep_alive_seconds, zero=True),
        abort_grace=section.seconds("abort_grace", usual.abort_grace, zero=True),
    )
    if config.max_inflight_body_bytes < 2 * config.max_body_bytes:
        section.fault(
            "max_inflight_body_bytes", "is below twice max_body_bytes", "raise it: one account gets at most half of it"
        )
    if not 0 < config.account_share <= 1:
        section.fault("account_share", "is not a fraction", "write a number above 0 and up to 1")
    if config.trusted_proxies and not behind_tls_proxy:
        section.fault("trusted_proxies", "has no effect without a proxy", "set behind_tls_proxy = true, or remove it")
    tls = _check_tls(section, config)
    if not (tls or config.behind_tls_proxy or is_loopback(config.host)):
        section.fault(
            "host",
            "serves plain http beyond this machine",
            "set tls_cert and tls_key, or behind_tls_proxy = true if a proxy terminates TLS",
        )
    section.close()
    return config


def _networks(section: Section, key: str) -> TrustedNetworks:
    found = []
    for text in section.strings(key):
        try:
            found.append(ip_network(text))
        except ValueError:
            section.fault(key, "holds something that is not a network", "write addresses such as 10.0.0.0/8 or ::1")
    return tuple(found)


def _check_tls(section: Section, config: ServerConfig) -> bool:
    """Whether a certificate is stated. Notes a fault if it cannot serve."""
    files = {"tls_cert": config.tls_cert, "tls_key": config.tls_key}
    if not any(files.values()):
        return False
    complete = True
    for key, file in files.items():
        if file is None:
            section.fault(key, "is missing", "set tls_cert and tls_key, or neither")
            complete = False
        elif not os.access(file, os.R_OK) or not file.is_file():
            section.fault(key, "is not a readable file", "fix the path or its permissions")
            complete = False
    if complete and config.tls_cert is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        try:  # the password callback keeps OpenSSL from asking on the terminal
            context.load_cert_chain(config.tls_cert, config.tls_key, password=lambda: "")
        except (ssl.SSLError, ValueError):
            section.fault("tls_key", "does not belong to tls_cert", "give a PEM chain and its unencrypted key")
    return True
