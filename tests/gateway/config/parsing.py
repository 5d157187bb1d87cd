"""How the tests of the tables read one, and what it says of faults."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from decimal import Decimal
from pathlib import Path

import pytest

from gateway.config import Config, ConfigError
from gateway.config.load import read

ENV = {
    "KEY": "sk-secret-1",
    "OTHER": "sk-secret-2",
    "LONG": "k" * 32,
    "EMPTY": "",
    "TOKEN": "t" * 32,
    "SECRET": "whsec_" + "a2tra2tra2tra2tra2tra2tra2tra2tr",
}
PROVIDER = """
[providers.openai]
kind = "openai"
api_keys = "env:KEY"
retention_days = 30
training = false
region = "global"
"""
ELSEWHERE = PROVIDER + 'base_url = "https://elsewhere.example"\n'


def parse(
    text: str,
    *,
    provider: str = PROVIDER,
    path: Path = Path("/etc/gateway.toml"),
    env: Mapping[str, str] = ENV,
    need_keys: bool = True,
) -> Config:
    return read(tomllib.loads(text + provider, parse_float=Decimal), path, env, need_keys=need_keys)


def faults(text: str, *, provider: str = PROVIDER, env: Mapping[str, str] = ENV) -> tuple[str, ...]:
    with pytest.raises(ConfigError) as caught:
        parse(text, provider=provider, env=env)
    return caught.value.faults


def fault(text: str, *, provider: str = PROVIDER, env: Mapping[str, str] = ENV) -> str:
    (only,) = faults(text, provider=provider, env=env)
    return only


def model(extra: str = "", price: str = "price = {input = 1, output = 2}") -> str:
    return f'[[models]]\nname = "m"\ntargets = [{{provider = "openai", model = "x"}}]\n{price}\n{extra}\n'
