"""``dev``, which ``make run`` runs: the gateway on this machine, with a token and lines to paste.

Forwards to the providers whose keys are in the environment, at published prices. If there is none, it starts the
provider simulator, forwards every model to it, and says so.
"""

from __future__ import annotations

import asyncio
import shlex
import socket
import subprocess
import sys
from collections.abc import Collection, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import click
import orjson

from gateway import variables
from gateway.accounts.opening import opened
from gateway.auth import sessions
from gateway.cli.examples import examples
from gateway.cli.init import KEYS
from gateway.cli.options import OperatorError
from gateway.config import DEFAULT_TIER, Config, ConfigError
from gateway.config.load import check_data_dir, read
from gateway.hardening.environment import restart_clean
from gateway.names import DEVELOPER
from gateway.portal.paths import PagePath
from gateway.telemetry.readable import ReadableLog
from metering.accounts.audit import Actor
from metering.usage import MICRO_CREDITS

CREDITS = 1_000  # of the development account: ten dollars' worth
# The model of each dialect in the lines to paste: a current one, with a published price.
MODELS = {"openai": "gpt-6.1-terra", "anthropic": "claude-sonnet-5-5", "google": "gemini-3.8-flash"}
PACE = 40  # milliseconds between two words of a simulated answer, so that it is seen to stream
READY = "One line for each request follows."


def _real_providers(environment: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for kind, names in KEYS.items():
        key = next((environment[name] for name in names if environment.get(name)), None)
        if key is not None:
            # The operator's statement of what the provider keeps is theirs to make; in development
            # the strictest reading of the providers' standard API terms stands here.
            found[kind] = {"kind": kind, "api_keys": [key], "retention_days": 30, "training": False, "region": "global"}
    return found


def _simulated(url: str) -> dict[str, Any]:
    """The simulator as the provider of each dialect. Like any provider on this machine it stands in for the APIs' own
    makers, so that every model of the published price list is served.
    """
    handling = {"retention_days": 0, "training": False, "region": "global"}
    return {kind: {"kind": kind, "base_url": url, "api_keys": ["simulated"], **handling} for kind in KEYS}


def _table(port: int, data_dir: Path, providers: dict[str, Any]) -> dict[str, Any]:
    with socket.create_server(("127.0.0.1", 0)) as free:  # the page at / links health, so that its port must be known
        internal = free.getsockname()[1]
    return {
        "server": {"port": port, "data_dir": str(data_dir.absolute())},
        "internal": {"port": internal},
        "providers": providers,
    }


async def _session(config: Config) -> str:
    async with opened(config) as at:
        amount = CREDITS * MICRO_CREDITS
        account = await at.administration().grant(DEVELOPER, amount, "development", actor=Actor.CLI)
        issued = await sessions.create(at.store.client, at.key, pid=account.pid, tier=DEFAULT_TIER)
        return issued.access_token


# Pasted into a shell as they are, so each is one line there.
_CURL = (
    "curl -N {url}/v1/chat/completions -H 'Authorization: Bearer {token}' -H 'Content-Type: application/json'"
    """ -d '{{"model": "{model}", "stream": true, "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
)
_OPENAI = (
    """{python} -c "import openai; client = openai.OpenAI(base_url='{url}/v1', api_key='{token}');"""
    """ stream = client.chat.completions.create(model='{model}', stream=True,"""
    """ messages=[{{'role': 'user', 'content': 'Hello'}}]);"""
    """ [print(c.choices[0].delta.content or '', end='', flush=True) for c in stream if c.choices]; print()\""""
)
_ANTHROPIC = (
    """{python} -c "import anthropic; client = anthropic.Anthropic(base_url='{url}', api_key='{token}');"""
    """ stream = client.messages.stream(model='{model}', max_tokens=100,"""
    """ messages=[{{'role': 'user', 'content': 'Hello'}}]).__enter__();"""
    """ [print(t, end='', flush=True) for t in stream.text_stream]; print()\""""
)
_GOOGLE = (
    """{python} -c "from google import genai;"""
    """ client = genai.Client(api_key='{token}', http_options={{'base_url': '{url}'}});"""
    """ [print(c.text or '', end='', flush=True)"""
    """ for c in client.models.generate_content_stream(model='{model}', contents='Hello')]; print()\""""
)
_CLAUDE_CODE = "ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN={token} ANTHROPIC_MODEL={model} claude"
_CODEX = (
    "CODEGREX_TOKEN={token} codex -m {model} -c model_provider=codegrex -c 'model_providers.codegrex="
    """{{name="CodeGrex", base_url="{url}/v1", env_key="CODEGREX_TOKEN", wire_api="responses"}}'"""
)
_OPENCODE = (
    """OPENCODE_CONFIG_CONTENT='{{"provider":{{"codegrex":{{"npm":"@ai-sdk/openai-compatible","name":"CodeGrex","""
    """"options":{{"baseURL":"{url}/v1","apiKey":"{token}"}},"models":{{"{model}":{{}}}}}}}}}}' """
    "opencode -m codegrex/{model}"
)
# What is pasted for, the dialect that it speaks, the line, and the SDK's module and package if it needs one.
PASTE = (
    ("curl", "openai", _CURL, None),
    ("OpenAI's Python SDK", "openai", _OPENAI, ("openai", "openai")),
    ("Anthropic's Python SDK", "anthropic", _ANTHROPIC, ("anthropic", "anthropic")),
    ("Google's Python SDK", "google", _GOOGLE, ("google.genai", "google-genai")),
    ("Claude Code", "anthropic", _CLAUDE_CODE, None),
    ("Codex", "openai", _CODEX, None),
    ("opencode", "openai", _OPENCODE, None),
)


def _importable(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:  # its parent package is missing
        return False


def _python(module: str, package: str) -> str:
    """The start of a line that runs Python with an SDK: it installs the SDK first if this Python lacks it."""
    python = shlex.quote(str(Path(sys.executable)))
    if _importable(module):
        return python
    if _importable("pip"):
        return f"{python} -m pip install --quiet --disable-pip-version-check {package} && {python}"
    return f"uv run --quiet --no-project --with {package} python"


def _screen(public: int, internal: int, token: str, kinds: Collection[str], *, simulated: bool) -> str:
    """What a person reads first: where things are, what is simulated, and what to paste."""
    url = f"http://127.0.0.1:{public}"
    if simulated:
        models = (
            "simulated: the environment has no provider key, so a simulator on this machine makes up every answer.\n"
            f"            Set {' or '.join(names[0] for names in KEYS.values())} to call real models."
        )
    else:
        models = f"those of {', '.join(sorted(kinds))}, with the keys of the environment; requests cost real money"
    lines = [
        f"\nCodeGrex gateway on {url}\n",
        f"  portal    {url}{PagePath.ACCOUNT}  (sign in, see usage, connect a device)",
        f"  health    http://127.0.0.1:{internal}/readyz",
        f"  models    {models}",
        f"  account   user {DEVELOPER}; each start grants {CREDITS} credits; 100 credits are one dollar",
        f"  token     {token}",
        "\nPaste one of these lines into another terminal.",
    ]
    for name, kind, line, sdk in PASTE:
        if kind in kinds:
            python = "" if sdk is None else _python(*sdk)
            pasted = line.format(url=url, token=token, model=MODELS[kind], python=python)
            lines.append(f"\n# {name}\n{pasted}")
    return "\n".join([*lines, f"\n{READY} Stop with Ctrl-C.\n\n"])


def _start_simulator() -> tuple[subprocess.Popen[bytes], str]:
    process = subprocess.Popen(  # noqa: S603 - our own module
        variables.python("benchmarks.simulator", "--until-eof", "--prose", "1", "--pace", str(PACE)),
        env=variables.for_child(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    return process, str(orjson.loads(process.stdout.readline())["url"])


@click.command(epilog=examples("dev", "OPENAI_API_KEY=... codegrex-gateway dev --port 8081"))
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    default=8080,
    show_default=True,
    help="Port on 127.0.0.1; 0: any free one.",
)
@click.option(
    "--data-dir",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("data/dev"),
    show_default=True,
    help="Folder of the development store and keys.",
)
def dev(port: int, data_dir: Path) -> None:
    """Try it out: serve, with a token and commands to paste.

    Forwards to the providers whose keys are in the environment, or to the provider simulator if there is no key.
    """
    try:
        sys.exit(_run(port=port, data_dir=data_dir))
    except ConfigError as error:
        # Here these are options, and no lines of a file.
        fix = "choose another one: codegrex-gateway dev --port N, or make run PORT=N"
        lines = [
            f"port {port} is in use; {fix}"
            if fault.startswith("server.port: ")
            else fault.replace("server.data_dir: ", "--data-dir: ", 1)
            for fault in error.faults
        ]
        raise OperatorError(*lines) from None


def _run(port: int, data_dir: Path) -> int:
    """Serve for development until Ctrl-C; the exit code."""
    from gateway.process.supervisor import run, sole_use  # noqa: PLC0415 - not for the help of every command

    providers = _real_providers(variables.GIVEN)
    restart_clean(sys.argv[1:], strict=True)
    simulator: subprocess.Popen[bytes] | None = None
    if not providers:
        simulator, url = _start_simulator()
        providers = _simulated(url)
    try:
        config = read(_table(port, data_dir, providers), Path("gateway.toml"), variables.GIVEN)
        check_data_dir(config.server.data_dir)
        with sole_use(config.server.data_dir):  # a refused start grants no credits
            token = asyncio.run(_session(config))

        def started(public: int, internal: int) -> None:
            sys.stdout.write(_screen(public, internal, token, providers.keys(), simulated=simulator is not None))
            sys.stdout.flush()

        return run(Path("gateway.toml"), config, 1, started, log=ReadableLog(), reloads=False)
    finally:
        if simulator is not None:
            assert simulator.stdin is not None
            simulator.stdin.close()  # ends it; a confined process may signal nothing outside
            simulator.wait()
