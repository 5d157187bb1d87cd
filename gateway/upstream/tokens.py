"""Keeps the token of a provider valid: fetched at start and renewed before it ends, outside of every request.

Of a service account, by ``google-auth`` (extra ``vertex``): a signed assertion is exchanged for a token (RFC 7523) at
the address in the key file. Credentials that are lent to this machine (`gateway.upstream.machine_credentials`) are kept
in the same way. One task for each such provider and worker. Rules:

1. A token is renewed `AHEAD_SECONDS` before its end, or half way if it is shorter. If that fails, the old one is used
   until it ends, and the exchange is tried again with a growing pause.
2. If the provider refuses a token before its end, another one is asked for, once in `RENEW_SECONDS`.
3. Without a valid token no request is sent: its next target is tried, or the caller is told to retry.
4. Nothing that the other side says is logged or raised: only that it failed.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from importlib import import_module
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from gateway.config import ServiceAccount
from gateway.upstream.destination import Destination
from gateway.upstream.origin import tls_context
from metering.background import Background
from providers.hosts.vertex import SCOPE

AHEAD_SECONDS: Final = 300.0
FIRST_PAUSE: Final = 1.0
LONGEST_PAUSE: Final = 60.0
RENEW_SECONDS: Final = 30.0
TIMEOUT_SECONDS: Final = 10.0
FIRST_SECONDS: Final = 5.0  # for which a worker's start waits for the first token
_LONGEST_ANSWER: Final = 1 << 20


class _Answer(NamedTuple):
    """As google-auth takes it."""

    status: int
    headers: Mapping[str, str]
    data: bytes


class AccessToken(NamedTuple):
    """A token, and for how many seconds it is good."""

    token: str
    seconds: float


class TokenUnavailable(Exception):
    """No token was issued. Carries nothing of the answer."""


class AccessTokens(Background):
    """The token of one provider.

    Args:
        destination: Whose requests are sent with it.
        ask: Asks for one, in a thread of its own: `issue`, or `gateway.upstream.machine_credentials.lend`.
        on_fault: Called after each try that failed.
    """

    def __init__(self, destination: Destination, ask: Callable[[], AccessToken], on_fault: Callable[[], None]) -> None:
        self._destination = destination
        self._ask = ask
        self._on_fault = on_fault
        self._tried = asyncio.Event()
        self._refused = asyncio.Event()
        self._issued_at = 0.0
        destination.renew = self._renew

    def _renew(self) -> None:
        if asyncio.get_running_loop().time() - self._issued_at >= RENEW_SECONDS:
            self._refused.set()

    async def first(self) -> None:
        """Wait until a token was issued, or the first try failed, or took too long."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._tried.wait(), FIRST_SECONDS)

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        good_until, pause = 0.0, FIRST_PAUSE
        while True:
            try:
                issued = await loop.run_in_executor(None, self._issued)
            except TokenUnavailable:
                self._tried.set()
                self._on_fault()
                left = good_until - loop.time()
                if left <= 0:
                    self._destination.put_token(None)
                await asyncio.sleep(min(pause, left) if left > 0 else pause)
                pause = min(pause * 2, LONGEST_PAUSE)
                continue
            self._destination.put_token(issued.token)
            self._tried.set()
            self._issued_at = loop.time()
            good_until, pause = self._issued_at + issued.seconds, FIRST_PAUSE
            self._refused.clear()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._refused.wait(), max(issued.seconds - AHEAD_SECONDS, issued.seconds / 2))

    def _issued(self) -> AccessToken:
        """What was issued, if it can be sent in a header and has not ended. Raises `TokenUnavailable`."""
        issued = self._ask()
        if not is_usable(issued):
            raise TokenUnavailable
        return issued


def is_usable(issued: AccessToken) -> bool:
    """Whether a token can be sent in a header, and has not ended."""
    token = issued.token
    return bool(token) and token.isascii() and token.isprintable() and " " not in token and issued.seconds > 0


def issue(account: ServiceAccount) -> AccessToken:
    """Ask for a token; blocks for the time of an exchange.

    Raises:
        TokenUnavailable: There is none.
    """
    # By name: an SDK's package has the same root, and nothing that serves may import one.
    service_account = import_module("google.oauth2.service_account")
    errors = import_module("google.auth.exceptions")
    try:
        credentials = service_account.Credentials.from_service_account_info(dict(account.info), scopes=[SCOPE])
        credentials.refresh(_exchange)
    except (errors.GoogleAuthError, OSError, HTTPException, ValueError, TypeError, KeyError):
        raise TokenUnavailable from None
    token, expiry = credentials.token, credentials.expiry
    if not isinstance(token, str) or expiry is None:
        raise TokenUnavailable
    issued = AccessToken(token, (expiry.replace(tzinfo=UTC) - datetime.now(UTC)).total_seconds())
    if not is_usable(issued):
        raise TokenUnavailable
    return issued


def _exchange(
    url: str,
    method: str = "GET",
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    timeout: float | None = None,  # noqa: ARG001 - google-auth's is two minutes
    **_: Any,
) -> _Answer:
    """google-auth's transport: no proxy, no redirect, certificates verified."""
    parts = urlsplit(url)
    host, path = parts.hostname or "", parts.path or "/"
    if parts.scheme == "https":
        connection: HTTPConnection = HTTPSConnection(
            host, parts.port, timeout=TIMEOUT_SECONDS, context=tls_context(None)
        )
    else:
        connection = HTTPConnection(host, parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request(method, f"{path}?{parts.query}" if parts.query else path, body, dict(headers or {}))
        answer = connection.getresponse()
        return _Answer(answer.status, dict(answer.getheaders()), answer.read(_LONGEST_ANSWER))
    finally:
        connection.close()
