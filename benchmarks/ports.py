"""Ports for servers that must be told their port before they start."""

from __future__ import annotations

import contextlib
import random
import socket

FIRST, LAST = 10_000, 19_999
"""Below what systems give to outgoing connections (from 32,768 on Linux, from 49,152 elsewhere), and so are the ports
10,000 above, which a Cluster takes as well. A port of the system's own choice (``bind`` to 0) is soon the local end of
somebody's connection, and the server that was meant to have it can't start."""

_random = random.SystemRandom()
_claims: list[socket.socket] = []


def free_port() -> int:
    """A port of loopback on which nobody listens, and which no other process gets from here while this one runs."""
    while True:
        port = _random.randint(FIRST, LAST)
        claim = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # same number, other protocol: in nobody's way
        try:
            claim.bind(("127.0.0.1", port))
            for number in (port, port + 10_000):
                with contextlib.closing(socket.socket()) as probe:
                    probe.bind(("0.0.0.0", number))  # noqa: S104 - somebody's on any address counts; it never listens
        except OSError:
            claim.close()
            continue
        _claims.append(claim)
        return port
