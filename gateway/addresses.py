"""Which addresses can only be this machine, and what a ``Host`` header names."""

from __future__ import annotations

import re
from ipaddress import ip_address

# What a Host header may say (RFC 9110 section 7.2): a name or an address, and a port.
_HOST = re.compile(r"([A-Za-z0-9._-]{1,253}|\[[0-9a-fA-F:.]{2,45}\])(?::[0-9]{1,5})?")


def is_loopback(host: str) -> bool:
    """Whether ``host`` can only be this machine. A name other than ``localhost`` is not resolved."""
    if host == "localhost":
        return True
    try:
        return ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def name_of_host(header: str) -> str:
    """The name or address in a ``Host`` header, in lower case and without its port; empty if it is not a host."""
    found = _HOST.fullmatch(header)
    return "" if found is None else found[1].lower()
