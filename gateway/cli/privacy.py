"""``privacy``: what protects content on this machine and in a running gateway, and whether evidence is genuine."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import orjson

from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json, write_table
from gateway.config import Config
from gateway.evidence.signing import SignatureFault, opened
from gateway.evidence.statement import code_digest, policy_digest
from gateway.hardening.environment import clean
from gateway.hardening.process import OWN, Measure, Measured

PATIENCE = 5.0
MEANINGS = {
    Measure.NOT_DUMPABLE: "no core file; memory unreadable for others of the same user",
    Measure.CORE_LIMIT: "the size limit of core files is zero",
    Measure.NO_NEW_PRIVILEGES: "no program started from here gains rights",
    Measure.WRITES_CONFINED: "Landlock: writes in the data directory and the log's folder alone",
    Measure.INSPECTION_REFUSED: "seccomp: looking into other processes fails",
    Measure.DEBUG_OFF: "no development mode, fault handler or tracing",
    Measure.REMOTE_DEBUG_OFF: "the interpreter runs no code that another process hands it",
    Measure.OWN_USER: "the machine's part: run as a user of its own",
    Measure.READ_ONLY_ROOT: "the machine's part: a read-only container",
    Measure.SWAP_OFF: "the machine's part: nothing is written to swap",
}


@click.group()
def privacy() -> None:
    """What protects content here, and whether evidence is genuine."""


@privacy.command()
@config_option
@click.option("--url", help="The internal listener of a running gateway; else the configuration's.")
@json_option
def status(config_path: Path, url: str | None, as_json: bool) -> None:
    """What holds here, what the kernel lacks, and what holds of the workers of a running gateway."""
    tried = _try()
    config = load_config(config_path, need_keys=False) if config_path.exists() else None
    digests = {"code": code_digest(), "policy": None if config is None else policy_digest(config)}
    if url is None and config is not None:
        url = _internal_url(config)
    running = None if url is None else _ask(url)
    if as_json:
        write_json({**tried, **digests, "running": running})
    else:
        _show(tried, running)
        for name, digest in digests.items():
            click.echo(f"{name} {digest or '-'}")
    missing = _missing(tried, running)
    if missing:
        raise OperatorError(*missing)


@privacy.command()
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", help="The public key that they must be signed with, as an earlier statement had it.")
@json_option
def verify(files: tuple[Path, ...], key: str | None, as_json: bool) -> None:
    """Check statements and receipts, offline: signatures, and that all are signed by --key.

    A statement is what GET /.well-known/ai-privacy answers; a receipt the value of x-receipt, or what
    GET /v1/requests/RID?receipt=1 answers.
    """
    faults: list[str] = []
    if key is None:  # anybody can sign with a key of their own
        faults.append("the signer is unknown: give the public key of a statement that you got before with --key")
    here = code_digest()
    rows: list[tuple[str, ...]] = []
    for path in files:
        try:
            document, public = opened(path.read_bytes())
        except SignatureFault as fault:
            faults.append(f"{path}: {fault}; get it anew from the gateway")
            continue
        key = key or public
        if public != key:
            faults.append(f"{path}: signed with another key than the others or --key; do not rely on it")
        code = document.get("code") == here
        if as_json:
            found = {"file": str(path), "valid": public == key, "public_key": public, "code_is_this": code}
            write_json({**found, "document": document})
        rows.append((str(path), str(document.get("type")), public, "this version's" if code else "another's"))
    if rows and not as_json:
        write_table("evidence", ("file", "is a", "signed with", "code"), rows)
    if faults:
        raise OperatorError(*faults)


def _try() -> dict[str, Any]:
    """What a process hardened on this machine says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - our own module
            [sys.executable, "-m", "gateway.hardening.trial", folder],
            env=clean(os.environ),
            stdout=subprocess.PIPE,
            check=True,
        )
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def _internal_url(config: Config) -> str | None:
    if not config.internal.port:
        return None  # any free one: only --url can tell
    host = f"[{config.internal.host}]" if ":" in config.internal.host else config.internal.host
    return f"http://{host}:{config.internal.port}"


def _ask(url: str) -> dict[str, Any] | None:
    """What the workers of a running gateway say; ``None`` where none answers."""
    parts = urlsplit(url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=PATIENCE)  # no proxy variable is read
    try:
        connection.request("GET", "/hardening")
        answer = connection.getresponse()
        found = orjson.loads(answer.read())
        held = {measure.value: int(found["held"].get(measure, 0)) for measure in Measure}  # an older version has fewer
        return {"workers": int(found["workers"]), "held": held}
    except (OSError, HTTPException, ValueError, KeyError, TypeError, AttributeError):
        return None  # nobody listens there, or somebody else
    finally:
        connection.close()


def _show(tried: dict[str, Any], running: dict[str, Any] | None) -> None:
    def of_workers(measure: Measure) -> str:
        return "-" if running is None else f"{running['held'][measure]} of {running['workers']}"

    rows = [(measure.value, tried["here"][measure], of_workers(measure), MEANINGS[measure]) for measure in Measure]
    write_table("hardening", ("measure", "here", "running workers", "meaning"), rows)
    click.echo(f"Landlock ABI {tried['landlock_abi']}" if tried["landlock_abi"] else "this kernel has no Landlock")
    if running is None:
        click.echo("no running gateway was asked, or it did not answer: give --url of its internal listener")


def _missing(tried: dict[str, Any], running: dict[str, Any] | None) -> list[str]:
    """Where a running gateway has less than its machine could give."""
    if running is None:
        return []
    return [
        f"{measure}: holds of {running['held'][measure]} of {running['workers']} workers; "
        'set [hardening] mode = "enforce" and restart'
        for measure in OWN
        if tried["here"][measure] == Measured.YES and running["held"][measure] < running["workers"]
    ]
