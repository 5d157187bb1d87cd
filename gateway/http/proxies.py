"""Whose request it is, if proxies stand in front: the one rule about ``X-Forwarded-For``.

Rules:

1. Without a proxy (`ServerConfig.behind_tls_proxy`), a request is its peer's, whatever its headers say.
2. Behind one, its last entry counts: the proxy has appended it. What comes before was written by the client.
3. If ``trusted_proxies`` are stated, the header of any other peer counts for nothing, and entries that are trusted
   proxies themselves are passed over from the right: the first other one is the client.
"""

from __future__ import annotations

from collections.abc import Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address

from aiohttp import web

from gateway.config.server import ServerConfig, TrustedNetworks

HEADER = "X-Forwarded-For"


def address_of(request: web.BaseRequest, server: ServerConfig) -> str:
    """The address of a request's client, as text; a value that is not an address is possible."""
    peer = request.remote or ""
    if not server.behind_tls_proxy:
        return peer
    return client_of(peer, request.headers.getall(HEADER, ()), server.trusted_proxies)


def client_of(peer: str, forwarded: Sequence[str], trusted: TrustedNetworks) -> str:
    """The client behind ``peer``, by the values of the header in their order."""
    if trusted and not _is_trusted(peer, trusted):
        return peer
    rest, client = ",".join(forwarded), peer
    while rest:
        rest, _, entry = rest.rpartition(",")
        client = _without_port(entry.strip()) or client
        if not trusted or not _is_trusted(client, trusted):
            break
    return client


def _without_port(entry: str) -> str:
    """Some balancers append the client's port: ``203.0.113.7:4711``, ``[2001:db8::1]:4711``."""
    if entry.startswith("["):
        return entry[1:].partition("]")[0]
    host, colon, port = entry.rpartition(":")
    return host if colon and "." in host and port else entry


def _is_trusted(text: str, trusted: TrustedNetworks) -> bool:
    try:
        address: IPv4Address | IPv6Address = ip_address(text.partition("%")[0])
    except ValueError:
        return False
    if isinstance(address, IPv6Address) and address.ipv4_mapped is not None:
        address = address.ipv4_mapped
    return any(address in network for network in trusted)
