"""``dev``, which ``make run`` runs: the gateway on this machine, with a token and lines to paste.

Routes to the providers whose keys are in the environment, by published prices; if there is none,
it starts the provider simulator and routes to it, and says so.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Unpack

import click
import orjson

from gateway.accounts.opening import opened
from gateway.auth import sessions
from gateway.cli.options import OperatorError
from gateway.config import Config, ConfigError
from gateway.config.load import read
from gateway.telemetry.log import Fields, Log
from metering.accounts.audit import Actor
from metering.usage import MICRO_CREDITS

CREDITS = 1_000  # of the development account: ten dollars' worth
USER = "developer"
KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
SIMULATED = {"openai": "gpt-4o-mini", "anthropic": "claude-sonnet-4-5", "google": "gemini-2.5-flash"}
PRICE = {"input": 1, "output": 4}


def _real_providers(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, names in KEYS.items():
        key = next((environment[name] for name in names if environment.get(name)), None)
        if key is not None:
            # The operator's statement of what the provider keeps is theirs to make; in development
            # the strictest reading of the providers' standard API terms stands here.
            found[kind] = {"kind": kind, "api_keys": [key], "retention_days": 30, "training": False, "region": "global"}
    return found


def _table(port: int, data_dir: Path, simulator: str | None, providers: dict[str, Any]) -> dict[str, Any]:
    table: dict[str, Any] = {
        "server": {"port": port, "data_dir": str(data_dir)},
        "internal": {"port": 0},
        "providers": providers,
    }
    if simulator is not None:
        table["providers"] = {
            kind: {
                "kind": kind,
                "base_url": simulator,
                "api_keys": ["simulated"],
                "retention_days": 0,
                "training": False,
                "region": "global",
            }
            for kind in SIMULATED
        }
        table["models"] = [
            {"name": model, "targets": [{"provider": kind, "model": f"{model}@pace-30ms"}], "price": PRICE}
            for kind, model in SIMULATED.items()
        ]
    return table


class DevLog(Log):
    """Shows one content-free line for each request, for a person."""

    def __init__(self) -> None:
        super().__init__("warning")
        self.requests = True

    def request(self, **fields: Unpack[Fields]) -> None:
        charge = fields.get("charge")
        credits_ = f"{charge / MICRO_CREDITS:.4f} credits" if isinstance(charge, int) else "not charged"
        sys.stdout.write(
            f"{fields['model']}  {fields.get('input_tokens', 0)} in, {fields.get('output_tokens', 0)} out  "
            f"{credits_}  first byte {fields['first_byte_ms']} ms  {fields['outcome']}\n"
        )
        sys.stdout.flush()


async def _session(config: Config) -> str:
    async with opened(config) as at:
        amount = CREDITS * MICRO_CREDITS
        account = await at.administration().grant(USER, amount, "development", actor=Actor.CLI)
        issued = await sessions.create(at.store.client, at.key, pid=account.pid, tier="default")
        return issued.access_token


# Pasted into a shell as they are, so each is one line there.
_CURL = (
    "curl -N {url}/v1/chat/completions -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json'"
    """ -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
)
_OPENAI = (
    """.venv/bin/python -c "import openai; client = openai.OpenAI(base_url='{url}/v1', api_key='{token}');"""
    """ stream = client.chat.completions.create(model='{model}', stream=True,"""
    """ messages=[{{'role': 'user', 'content': 'Hello'}}]);"""
    """ [print(c.choices[0].delta.content or '', end='', flush=True) for c in stream]; print()\""""
)
_ANTHROPIC = (
    """.venv/bin/python -c "import anthropic; client = anthropic.Anthropic(base_url='{url}', api_key='{token}');"""
    """ stream = client.messages.stream(model='{model}', max_tokens=100,"""
    """ messages=[{{'role': 'user', 'content': 'Hello'}}]).__enter__();"""
    """ [print(t, end='', flush=True) for t in stream.text_stream]; print()\""""
)
_GOOGLE = (
    """.venv/bin/python -c "from google import genai;"""
    """ client = genai.Client(api_key='{token}', http_options={{'base_url': '{url}'}});"""
    """ [print(c.text or '', end='', flush=True)"""
    """ for c in client.models.generate_content_stream(model='{model}', contents='Hello')]; print()\""""
)
_PASTE = {"openai": (_CURL, _OPENAI), "anthropic": (_ANTHROPIC,), "google": (_GOOGLE,)}


def _lines(port: int, token: str, models: Mapping[str, str], *, simulated: bool) -> str:
    url = f"http://127.0.0.1:{port}"
    said = (
        "No provider key is in the environment, so requests go to the provider simulator."
        if simulated
        else f"Requests go to: {', '.join(sorted(models))}."
    )
    lines = [f"\nCodeGrex gateway on {url}", said, f"Session token (user {USER}, {CREDITS} credits): {token}"]
    lines += [
        template.format(url=url, token=token, model=model)
        for kind, model in models.items()
        for template in _PASTE[kind]
    ]
    return "\n\n".join([*lines, "One line for each request follows. Stop with Ctrl-C.\n\n"])


def _start_simulator() -> tuple[subprocess.Popen[bytes], str]:
    process = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.simulator", "--port", "0", "--until-eof"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, str(orjson.loads(process.stdout.readline())["url"])


@click.command()
@click.option("--port", type=click.IntRange(0, 65_535), default=8080, show_default=True, help="0 takes any free one.")
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/dev"),
    show_default=True,
    help="Where the development store and keys live.",
)
def dev(port: int, data_dir: Path) -> None:
    """Try it out: serve with a session token and lines to paste.

    Routes to the providers whose keys are in the environment, else to the provider simulator.
    """
    try:
        sys.exit(_run(port=port, data_dir=data_dir))
    except ConfigError as error:
        raise OperatorError(*error.faults) from None


def _run(port: int, data_dir: Path) -> int:
    """Serve for development until Ctrl-C; the exit code."""
    from gateway.process.supervisor import run  # noqa: PLC0415 - not for the help of every command

    providers = _real_providers(os.environ)
    simulator: subprocess.Popen[bytes] | None = None
    url: str | None = None
    if not providers:
        simulator, url = _start_simulator()
    try:
        config = read(_table(port, data_dir, url, providers), Path("gateway.toml"), os.environ)
        config.server.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        token = asyncio.run(_session(config))
        models = SIMULATED if url is not None else {kind: SIMULATED[kind] for kind in providers}

        def started(public: int, _internal: int) -> None:
            sys.stdout.write(_lines(public, token, models, simulated=url is not None))
            sys.stdout.flush()

        return run(Path("gateway.toml"), config, 1, started, log=DevLog())
    finally:
        if simulator is not None:
            assert simulator.stdin is not None
            simulator.stdin.close()  # ends it; a confined process may signal nothing outside
            simulator.wait()
