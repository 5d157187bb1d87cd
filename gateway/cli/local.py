"""``local``: the broker for the user's own machine. It imports nothing that holds a credential."""

from __future__ import annotations

import shlex
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from gateway import variables
from gateway.cli.examples import examples
from gateway.local.isolation import IsolationError
from gateway.local.settings import (
    Settings,
    SettingsError,
    addresses,
    check,
    from_table,
    read_file,
    refuse_credentials,
)
from providers.local.engines import PORTS

if TYPE_CHECKING:
    from gateway.local.directory import Directory  # loaded with the broker

SYSTEMS = "Linux and macOS, on Windows in WSL; --isolate needs Linux"
MOST_SHOWN = 12  # models of an engine
# What is pasted for, and the line; each keeps to this machine.
PASTE = (
    (
        "curl",
        (
            "curl {url}/v1/chat/completions -H 'Content-Type: application/json'"
            """ -d '{{"model": "{model}", "messages": [{{"role": "user", "content": "Hello"}}]}}'"""
        ),
    ),
    ("SDKs and tools of OpenAI's API", "export OPENAI_BASE_URL={url}/v1 OPENAI_API_KEY=local"),
    ("SDKs of Anthropic's API", "export ANTHROPIC_BASE_URL={url} ANTHROPIC_API_KEY=local"),
    ("SDKs of Google's API", "export GOOGLE_GEMINI_BASE_URL={url} GEMINI_API_KEY=local"),
    ("Claude Code", "ANTHROPIC_BASE_URL={url} ANTHROPIC_AUTH_TOKEN=local ANTHROPIC_MODEL={model} claude"),
)


def _screen(port: int, found: Directory) -> str:
    """What a person reads first: where it serves, which engines answered, their models, and what to paste."""
    url = f"http://127.0.0.1:{port}"
    lines = [
        f"CodeGrex local mode on {url}\n",
        "  It connects only to engines on this machine, and stores nothing.",
        f"  It runs on {SYSTEMS}.\n",
    ]
    names = found.names()
    for engine in found.engines:
        own = [_plain(name) for name, of in names if of is engine]
        shown = ", ".join(own[:MOST_SHOWN]) or "no model"
        more = f", and {len(own) - MOST_SHOWN} more: GET {url}/v1/models" if len(own) > MOST_SHOWN else ""
        lines.append(f"  {engine.kind} on {engine.address}: {shown}{more}")
    if not found.engines:
        usual = ", ".join(f"{kind} ({at})" for kind, at in PORTS.items())
        lines.append(f"  No engine answers yet. Start one on its usual port, {usual}, or name it with --engine.")
    model = _plain(names[0][0]) if names else "MODEL"
    lines.append("\nPaste one of these lines into another terminal. Use any key; the broker does not read it.")
    lines += [f"\n# {name}\n{line.format(url=url, model=model)}" for name, line in PASTE]
    return "\n".join([*lines, "\nStop with Ctrl-C.\n"])


def _plain(name: str) -> str:
    """An engine's own name of a model, without what a terminal or a shell would act on."""
    return "".join(c if c.isalnum() or c in "._:/@+-" else "?" for c in name)


@click.command(epilog=examples("local", "local --engine http://127.0.0.1:11434 --isolate"))
@click.option("--port", type=click.IntRange(0, 65_535), help="Port on 127.0.0.1; 0: any free one.  [default: 8081]")
@click.option(
    "--engine",
    "engines",
    multiple=True,
    metavar="ADDRESS",
    help="Address of an engine: 127.0.0.1:9000, [::1]:9000 or unix:/path. Repeatable.",
)
@click.option(
    "--only-named", is_flag=True, help="Use only engines named with --engine; do not look at the usual ports."
)
@click.option(
    "--allow-origin",
    "origins",
    multiple=True,
    metavar="ORIGIN",
    help="A web origin that may call the broker. Repeatable.",
)
@click.option("--translate", is_flag=True, help="Translate Messages and Responses even if the engine supports them.")
@click.option("--isolate", is_flag=True, help="Linux: run in a network namespace that has only a loopback interface.")
@click.option(
    "--engine-command", metavar="COMMAND", help="With --isolate: the command that starts the engine in that namespace."
)
@click.option("--config", "path", type=click.Path(dir_okay=False, path_type=Path), help="Settings file of local mode.")
def local(
    port: int | None,
    engines: tuple[str, ...],
    origins: tuple[str, ...],
    engine_command: str | None,
    path: Path | None,
    *,
    only_named: bool,
    translate: bool,
    isolate: bool,
) -> None:
    """Serve the models of engines on this machine.

    The broker connects to nothing else.
    """
    if sys.platform == "win32":
        _fail(f"local mode runs on {SYSTEMS}.")
    try:
        table = read_file(path) if path is not None else {}
        refuse_credentials(variables.GIVEN, table)
        settings = from_table(table)
        settings = check(
            _with_options(
                settings,
                port,
                engines,
                origins,
                only_named=only_named,
                translate=translate,
                isolate=isolate,
                engine_command=engine_command,
            )
        )
        from gateway.local.broker import run  # noqa: PLC0415 - faults come first, and at once
        from gateway.telemetry.log import Log  # noqa: PLC0415 - as above
        from gateway.telemetry.readable import ReadableLog  # noqa: PLC0415 - as above

        def started(port: int, found: Directory) -> None:
            click.echo(_screen(port, found))

        # Programs read the log, people the screen.
        sys.exit(run(settings, ReadableLog() if sys.stderr.isatty() else Log(), started))
    except SettingsError as error:
        _fail(*error.faults)
    except IsolationError as error:
        _fail(str(error))


def _with_options(
    settings: Settings,
    port: int | None,
    engines: tuple[str, ...],
    origins: tuple[str, ...],
    *,
    only_named: bool,
    translate: bool,
    isolate: bool,
    engine_command: str | None,
) -> Settings:
    try:
        command = tuple(shlex.split(engine_command or ""))
    except ValueError:
        raise SettingsError("--engine-command has an unclosed quote.") from None
    return replace(
        settings,
        port=settings.port if port is None else port,
        engines=settings.engines + addresses(engines),
        usual_ports=settings.usual_ports and not only_named,
        origins=settings.origins | frozenset(origins),
        always_translate=settings.always_translate or translate,
        isolate=isolate,
        engine_command=command,
    )


def _fail(*lines: str) -> None:
    for line in lines:
        click.echo(f"error: {line}", err=True)
    sys.exit(1)
