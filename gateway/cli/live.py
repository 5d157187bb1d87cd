"""Asks each provider, through its official SDK, whether it accepts its keys, and the store whether the gateway
can use it.

The SDKs are an extra. Only this module imports them, by name, so that no serving code can reach them. With each key it
lists models, which costs nothing. It shows no text of an answer, which may quote a key.

Two clouds have no list of models at the address that serves them: of a service account a token is asked for, and Amazon
Bedrock gets a request for a model that does not exist, which it refuses after it has accepted the key.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPResponse
from importlib import import_module
from typing import Any

from gateway.accounts.opening import open_configured
from gateway.cli.options import OperatorError
from gateway.cli.store import run
from gateway.config import Cloud, Config, ProviderConfig
from gateway.upstream.destination import Destination
from gateway.upstream.machine_credentials import lend
from gateway.upstream.tokens import AccessToken, TokenUnavailable, is_usable, issue
from providers.dialect import Family, Operation
from providers.headers import FIXED
from providers.steps import at_once
from providers.wires import WIRES

TIMEOUT = 15.0
_LONGEST = 1 << 16  # bytes of an error that are read
_REFUSED_MODEL = frozenset((400, 404))
_WITHOUT_SDK = frozenset((Cloud.VERTEX, Cloud.BEDROCK, Cloud.MANTLE))
MODULES = {Family.OPENAI: "openai", Family.ANTHROPIC: "anthropic", Family.GOOGLE: "google.genai"}
ACCEPTED = "accepted"
_MEANINGS = {
    401: "rejected: the key is not valid",
    402: "rejected: the account has no credit",
    403: "rejected: the key may not list models",
    404: "no such path: check base_url; the table above shows each URL",
    429: "accepted, but its rate or quota is used up",
}


@dataclass(frozen=True, slots=True)
class Live:
    """One answer: ``key`` is which of the provider's keys, as ``1 of 2``."""

    provider: str
    key: str
    ok: bool
    message: str


def verify(config: Config) -> list[Live]:
    """Every provider key, in order, and the store.

    What SDKs would read in the environment is not there (`gateway.variables`): proxies, other credentials,
    organisations, base addresses.

    Raises:
        OperatorError: An SDK that is needed is not installed.
    """
    sdks: dict[Family, Any] = {}
    for family in {provider.family for provider in config.providers.values() if provider.cloud not in _WITHOUT_SDK}:
        try:
            sdks[family] = import_module(MODULES[family])
        except ImportError:
            fix = "install it with: pip install 'codegrex-gateway[sdk]'"
            raise OperatorError(f"--live needs the package {MODULES[family]}, which is not installed; {fix}") from None
    found = [live for provider in config.providers.values() for live in _keys(provider, sdks.get(provider.family))]
    return [*found, _store(config)]


def _keys(provider: ProviderConfig, sdk: Any) -> Iterator[Live]:
    account, machine = provider.account, provider.machine
    if account is not None:
        yield _token(provider, lambda: issue(account))
        return
    if machine is not None:
        yield _token(provider, lambda: lend(machine))
        return
    for index, key in enumerate(provider.api_keys):
        which = f"{index + 1} of {len(provider.api_keys)}"
        try:
            if provider.cloud in (Cloud.BEDROCK, Cloud.MANTLE):
                _ask_bedrock(provider, index)
            else:
                _list_models(provider, key, sdk)
        except Exception as error:  # noqa: BLE001 - three SDKs, one meaning: this key did not work
            status = getattr(error, "status_code", None) or getattr(error, "code", None)
            message = _MEANINGS.get(status if isinstance(status, int) else 0)
            if message is None:
                said = f"it answered {status}" if isinstance(status, int) else type(error).__name__
                message = f"not reachable ({said}): check base_url, ca_file and the network"
            yield Live(provider.name, which, False, message)
        else:
            yield Live(provider.name, which, True, ACCEPTED)


def _token(provider: ProviderConfig, ask: Callable[[], AccessToken]) -> Live:
    try:
        issued = is_usable(ask())
    except TokenUnavailable:
        issued = False
    if not issued:
        message = "no token was issued: check credentials, the service account and the network"
        return Live(provider.name, "1 of 1", False, message)
    return Live(provider.name, "1 of 1", True, "accepted: a token was issued")


class _NotAccepted(Exception):
    """The answer was not the expected refusal."""

    def __init__(self, status: int) -> None:
        super().__init__()
        self.status_code = status


def _ask_bedrock(provider: ProviderConfig, key: int) -> None:
    """Ask for a model that does not exist."""
    destination, at = Destination(provider), provider.endpoint
    wire = WIRES[Operation.ANTHROPIC_MESSAGES]
    shape = destination.shape(wire, "anthropic.none", stream=False, query="", headers=list(FIXED))
    with socket.create_connection((at.host, at.port), TIMEOUT) as plain:
        tls = destination.origin.tls
        with plain if tls is None else tls.wrap_socket(plain, server_hostname=at.host) as connection:
            connection.sendall(at_once(destination.head(shape, b"{}", key=key)) + b"{}")
            answer = HTTPResponse(connection, method="POST")
            answer.begin()
            headers = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in answer.getheaders()]
            said = provider.host.error(answer.status, headers, answer.read(_LONGEST))
    status = answer.status if said is None else said.status
    if status not in _REFUSED_MODEL:
        raise _NotAccepted(status)


def _list_models(provider: ProviderConfig, key: str, sdk: Any) -> None:
    context = ssl.create_default_context(cafile=None if provider.ca_file is None else str(provider.ca_file))
    if provider.family is Family.GOOGLE:
        network = {"verify": context, "trust_env": False}
        base, _, version = provider.endpoint.url("/v1beta/models").removesuffix("/models").rpartition("/")
        options = {"base_url": base, "api_version": version, "timeout": int(TIMEOUT * 1_000), "client_args": network}
        client = sdk.Client(api_key=key, vertexai=False, http_options=options)
        next(iter(client.models.list(config={"page_size": 1})), None)
        return
    http = sdk.DefaultHttpxClient(verify=context, trust_env=False)
    options = {"api_key": key, "timeout": TIMEOUT, "max_retries": 0, "http_client": http}
    made = sdk.OpenAI if provider.family is Family.OPENAI else sdk.Anthropic
    with made(**options) as client:
        client.get(provider.endpoint.url("/v1/models"), cast_to=object)


def _store(config: Config) -> Live:
    try:
        faults = run(_store_faults(config))
    except OperatorError as fault:
        faults = list(fault.lines)
    return Live("store", "", not faults, "; ".join(faults) or ACCEPTED)


async def _store_faults(config: Config) -> list[str]:
    if config.store.url == "embedded:":
        return []  # the first process that needs it starts it; to start it here would leave files
    store = await open_configured(config)
    try:
        return await store.check()
    finally:
        await store.close()
