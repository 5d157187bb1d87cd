"""``init``: write a first gateway.toml by three questions, or by options alone."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import click

from gateway.cli.examples import examples
from gateway.cli.options import OperatorError
from gateway.config import EMBEDDED, ConfigError
from gateway.config.load import load

# The variables that usually hold the keys of the APIs' makers, most usual first.
KEYS = {
    "openai": ("OPENAI_API_KEY",),
    "anthropic": ("ANTHROPIC_API_KEY",),
    "google": ("GEMINI_API_KEY", "GOOGLE_API_KEY"),
}
# What the makers say of their standard API, as gateway.example.toml has it: the operator's contract may say otherwise.
STATED_DAYS = {"openai": 30, "anthropic": 30, "google": 55}


class Entrance(StrEnum):
    """How clients reach the listener."""

    LOCAL = "local"
    PROXY = "proxy"
    TLS = "tls"


_SERVER = {
    Entrance.LOCAL: """\
host = "127.0.0.1"                   # only this machine; others need a proxy or a certificate
port = 8080
""",
    Entrance.PROXY: """\
host = "0.0.0.0"
port = 8080
behind_tls_proxy = true              # a proxy in front ends TLS: keep others from reaching this port
""",
    Entrance.TLS: """\
host = "0.0.0.0"
port = 8443
tls_cert = {cert}
tls_key = {key}
""",
}

_FILE = """\
# CodeGrex gateway. docs/configuration.md explains every key; gateway.example.toml has all of them with their defaults.
#
#   codegrex-gateway check --config {file}    # is this file right?
#   codegrex-gateway doctor --config {file}   # is this machine ready?
#   codegrex-gateway serve --config {file}
#
# Any string may be "env:NAME", the value of that environment variable: keep secrets out of this file.
# Relative paths start at the folder of this file.

[server]
{server}# workers = 4                        # default: one for each processor
data_dir = {data_dir}  # identity key, spool, embedded store: back it up
drain_timeout = 600                  # seconds for open streams to finish after SIGTERM

[internal]                           # /livez /readyz /version /metrics, without authentication: keep it private
host = "127.0.0.1"
port = 9090

[store]
# "embedded:" is a Valkey server in data_dir, for one machine. Several gateways share a Redis 7 or Valkey 8, or newer:
# redis://HOST:PORT, rediss:// for TLS, redis+cluster://, redis+sentinel://HOST:PORT,HOST:PORT/SERVICE
url = {store}
{providers}
# Without [[models]], every published model of these providers is served at its published price.

[tiers.default]                      # what each account may do; 0 is no limit
requests_per_minute = 0
concurrent = 0
daily_credits = 0

[billing]
credit_usd = 0.01                    # one credit in USD
markup = 0                           # 0.2: users pay 20 percent more than the provider's price

[log]
level = "info"                       # a JSON object per line on standard error; never content
"""

_PROVIDER = """
[providers.{name}]
kind = "{name}"
api_keys = ["env:{variable}"]
# Your statement of what the provider does with requests; the gateway shows it to users. The usual terms of its API are
# written here: compare them with your contract.
retention_days = {days}                  # days for which it keeps prompts and answers; 0: not at all
training = false                     # whether it trains on them
region = "global"                    # global us eu uk ch ca br in jp kr sg au local
"""


class ProviderNames(click.ParamType[tuple[str, ...]]):
    """Names of API makers, separated by commas or spaces."""

    name = "providers"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        names = tuple(dict.fromkeys(str(value).replace(",", " ").lower().split()))
        if not names or not set(names) <= set(KEYS):
            self.fail(f"name one or more of {', '.join(KEYS)}", param, ctx)
        return names


class StoreUrl(click.ParamType[str]):
    """A store's address without a password, or the variable that holds it."""

    name = "url"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if "@" in urlsplit(text).netloc:
            self.fail("put an address with a password into a variable, and write env:NAME", param, ctx)
        if '"' in text or "\\" in text or not text.isprintable():
            self.fail("state embedded:, a Redis URL, or env:NAME", param, ctx)
        return text


@click.command(
    epilog=examples(
        "init",
        "init --yes --providers openai,anthropic",
        "init --yes --listen proxy --store redis://valkey:6379",
    )
)
@click.option("--providers", type=ProviderNames(), help=f"Whose keys you have: {', '.join(KEYS)}.")
@click.option("--store", type=StoreUrl(), help="Where accounts and credits are: embedded:, a Redis URL, or env:NAME.")
@click.option(
    "--listen",
    type=click.Choice([entrance.value for entrance in Entrance]),
    help="Who connects: this machine only, a proxy that ends TLS, or clients by TLS.",
)
@click.option("--tls-cert", default="tls/chain.pem", show_default=True, help="With --listen tls: the chain, as PEM.")
@click.option("--tls-key", default="tls/key.pem", show_default=True, help="With --listen tls: its unencrypted key.")
@click.option("--data-dir", default="data", show_default=True, help="For the identity key, the spool and the store.")
@click.option("--yes", is_flag=True, help="Ask nothing: openai, embedded: and local, for what no option states.")
@click.option(
    "--output",
    type=click.Path(dir_okay=False, path_type=Path),
    default=Path("gateway.toml"),
    show_default=True,
    help="File to write.",
)
@click.option("--force", is_flag=True, help="Replace the file if it exists.")
def init(
    *,
    providers: tuple[str, ...] | None,
    store: str | None,
    listen: str | None,
    tls_cert: str,
    tls_key: str,
    data_dir: str,
    yes: bool,
    output: Path,
    force: bool,
) -> None:
    """Write a first gateway.toml.

    Asks three questions: which providers, which store, and who connects. An option answers its question.
    """
    if output.exists() and not force:
        raise OperatorError(f"--output: {output} exists; choose another file, or replace it with --force")
    if not yes and None in (providers, store, listen) and not sys.stdin.isatty():
        raise OperatorError("standard input is no terminal; state --providers, --store and --listen, or --yes")
    if providers is None:
        question = f"Whose keys do you have ({', '.join(KEYS)}; several with commas)"
        providers = ("openai",) if yes else click.prompt(question, type=ProviderNames(), default="openai")
    if store is None:
        question = "Where are accounts and credits kept (embedded:, a Redis or Valkey URL, or env:NAME)"
        store = EMBEDDED if yes else click.prompt(question, type=StoreUrl(), default=EMBEDDED)
    if listen is None:
        question = "Who connects (local: this machine; proxy: a proxy that ends TLS; tls: clients)"
        choice = click.Choice([entrance.value for entrance in Entrance])
        listen = "local" if yes else click.prompt(question, type=choice, default="local", show_choices=False)
    text = compose(providers, store, Entrance(listen), cert=tls_cert, key=tls_key, data_dir=data_dir, file=output.name)
    try:
        with output.open("w" if force else "x", encoding="utf-8") as file:  # no secrets are in it
            file.write(text)
    except OSError as error:
        raise OperatorError(f"--output: {output} cannot be written ({error.strerror}); choose another file") from None
    click.echo(f"wrote {output}")
    variables = [KEYS[name][0] for name in providers] + (
        [store.removeprefix("env:")] if store.startswith("env:") else []
    )
    for line in _left(output, variables):
        click.echo(f"fix {line}")
    click.echo(f"set {', '.join(variables)}, then: codegrex-gateway check --config {output}")


def compose(
    providers: Sequence[str],
    store: str,
    entrance: Entrance,
    *,
    cert: str,
    key: str,
    data_dir: str = "data",
    file: str = "gateway.toml",
) -> str:
    """The file's text."""
    return _FILE.format(
        file=file,
        server=_SERVER[entrance].format(cert=_quoted(cert), key=_quoted(key)),
        store=_quoted(store),
        data_dir=_quoted(data_dir).ljust(25),
        providers="".join(
            _PROVIDER.format(name=name, variable=KEYS[name][0], days=STATED_DAYS[name]) for name in providers
        ),
    )


def _quoted(text: str) -> str:
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _left(path: Path, variables: Sequence[str]) -> Sequence[str]:
    """What is wrong with the file although each variable is set: a certificate that is not there yet."""
    # A value that is good for a key; what the store's variable holds is for `check` to say.
    values = dict.fromkeys(variables, EMBEDDED)
    try:
        load(path, values)
    except ConfigError as error:
        return error.faults
    return ()
