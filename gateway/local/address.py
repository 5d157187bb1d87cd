"""The address of an engine: a literal loopback address with a port, or a Unix socket.

Rules:

1. An address is a literal. A name is refused, ``localhost`` too: a resolver decides where a name leads, and can decide
   differently the next time.
2. Loopback is 127.0.0.0/8 and ::1. An IPv4 address mapped into IPv6 is the IPv4 address. Every
   other address that may reach this machine (0.0.0.0, ::, ::127.0.0.1, its own other addresses) is refused.
"""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass
from typing import Final, TypeAlias

_WRITTEN: Final = re.compile(r"(?:http://)?(?:\[([^\]]*)\]|([^:/\[\]]*)):([0-9]{1,5})(?:/v1)?/?", re.IGNORECASE)


class AddressRefused(ValueError):
    """An engine may not have this address. The message says which ones are allowed; it quotes nothing."""


@dataclass(frozen=True, slots=True)
class Tcp:
    """``host`` is a loopback literal in its normal form."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Unix:
    path: str

    def __str__(self) -> str:
        return f"unix:{self.path}"


Address: TypeAlias = Tcp | Unix


def loopback(host: object) -> str | None:
    """The normal form of a loopback literal; None for everything else."""
    if not isinstance(host, str) or "%" in host:
        return None
    try:
        found = ipaddress.ip_address(host)
    except ValueError:
        return None
    if isinstance(found, ipaddress.IPv6Address):
        if found.ipv4_mapped is None:
            return str(found) if found == ipaddress.IPv6Address("::1") else None
        found = found.ipv4_mapped
    return str(found) if found.is_loopback else None


def parse_address(text: str) -> Address:
    """An engine's address as people write it.

    ``127.0.0.1:11434``, ``[::1]:8080``, ``http://127.0.0.1:8000/v1`` or ``unix:/path/to/socket``.

    Raises:
        AddressRefused: It is a name, another machine, TLS, or not an address.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/") or "\0" in path:
            raise AddressRefused("Write a Unix socket with its absolute path: unix:/path/to/socket.")
        return Unix(path)
    found = _WRITTEN.fullmatch(text)
    if found is None:
        raise AddressRefused(
            "An engine's address is a literal loopback address and a port, such as 127.0.0.1:11434 or [::1]:8080, "
            "without TLS, or unix:/path/to/socket."
        )
    port = int(found[3])
    if not 0 < port < 65_536:
        raise AddressRefused("A port is a number from 1 to 65535.")
    return check_address(Tcp(found[1] or found[2] or "", port))


def check_address(address: Address) -> Address:
    """The address in its normal form.

    Raises:
        AddressRefused: It is not a loopback literal.
    """
    if isinstance(address, Unix):
        return address
    host = loopback(address.host)
    if host is None:
        raise AddressRefused(
            "Local mode connects only to this machine's loopback, and a name is not an address: write 127.0.0.1 or "
            "[::1], not localhost or another host."
        )
    return Tcp(host, address.port)
