"""Asks each provider, through its official SDK, whether it takes our keys; and the store, whether it
can be used.

The SDKs are an extra and are imported here alone, by name, so that nothing that serves can reach
them. Each key lists models, which costs nothing. No answer's text is shown: it may quote a key.
"""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from typing import Any

from gateway.accounts.opening import open_configured
from gateway.cli.options import OperatorError
from gateway.cli.store import run
from gateway.config import Config, ProviderConfig
from providers.dialect import Family

TIMEOUT = 15.0
MODULES = {Family.OPENAI: "openai", Family.ANTHROPIC: "anthropic", Family.GOOGLE: "google.genai"}
ACCEPTED = "accepted"
_READ_BY_SDKS = re.compile(r"(?i)(openai|anthropic|google|gemini)_|(https?|all|no)_proxy$")
_MEANINGS = {
    401: "rejected: the key is not valid",
    402: "rejected: the account has no credit",
    403: "rejected: the key may not list models",
    404: "no such path: check base_url; the paths above are what is asked",
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

    Raises:
        OperatorError: An SDK that is needed is not installed.
    """
    _forget_environment()
    sdks: dict[Family, Any] = {}
    for family in {provider.family for provider in config.providers.values()}:
        try:
            sdks[family] = import_module(MODULES[family])
        except ImportError:
            mend = "install it with: pip install 'codegrex-gateway[sdk]'"
            raise OperatorError(f"--live needs the package {MODULES[family]}, which is not installed; {mend}") from None
    found = [live for provider in config.providers.values() for live in _keys(provider, sdks[provider.family])]
    return [*found, _store(config)]


def _forget_environment() -> None:
    """Take from this process what SDKs read there and the gateway does not: proxies, other
    credentials, organisations, base addresses.
    """
    for name in list(os.environ):
        if _READ_BY_SDKS.match(name):
            del os.environ[name]


def _keys(provider: ProviderConfig, sdk: Any) -> Iterator[Live]:
    for index, key in enumerate(provider.api_keys):
        which = f"{index + 1} of {len(provider.api_keys)}"
        try:
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
        return []  # it is started by whoever needs it, and would leave files behind
    store = await open_configured(config)
    try:
        return await store.check()
    finally:
        await store.close()
