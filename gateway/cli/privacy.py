"""``privacy``: what protects content on this machine and in a running gateway, and whether evidence is genuine."""

from __future__ import annotations

import subprocess
import tempfile
from pathlib import Path
from typing import Any

import click
import orjson

from gateway import variables
from gateway.cli.examples import examples
from gateway.cli.options import OperatorError, config_option, json_option, load_config, write_json, write_table
from gateway.cli.running import ask, internal_url
from gateway.evidence.signing import SignatureFault, opened
from gateway.evidence.statement import code_digest, policy_digest
from gateway.hardening.process import OWN, Measure, Measured

MEANINGS = {
    Measure.NOT_DUMPABLE: "no core file; other processes of the same user cannot read the memory",
    Measure.CORE_LIMIT: "the size limit of core files is zero",
    Measure.NO_NEW_PRIVILEGES: "no program that the gateway starts can gain privileges",
    Measure.WRITES_CONFINED: "Landlock: the process can write only to the data directory and the log's folder",
    Measure.INSPECTION_REFUSED: "seccomp: the process cannot inspect other processes",
    Measure.DEBUG_OFF: "no development mode, fault handler or tracing",
    Measure.ENVIRONMENT_CLOSED: "only environment variables that docs/privacy.md names have an effect",
    Measure.REMOTE_DEBUG_OFF: "the interpreter runs no code from another process",
    Measure.OWN_USER: "set up by the operator: the gateway runs as a user of its own",
    Measure.READ_ONLY_ROOT: "set up by the operator: the container's root is read-only",
    Measure.SWAP_OFF: "set up by the operator: the machine has no swap",
}


@click.group(epilog=examples("privacy status", "privacy verify statement.json"))
def privacy() -> None:
    """Show how content is protected, and verify evidence."""


@privacy.command(epilog=examples("privacy status", "privacy status --url http://127.0.0.1:9090 --json"))
@config_option
@click.option("--url", help="Internal listener of a running gateway. Default: the one of the configuration.")
@json_option
def status(config_path: Path, url: str | None, as_json: bool) -> None:
    """Show how processes are hardened on this machine.

    Lists the measures that work on this machine, the ones that its kernel lacks, and the ones that are active in the
    workers of a running gateway.
    """
    tried = try_hardening()
    count, switches = variables.dropped()
    tried["variables_dropped"] = {"count": count, "switches": switches}
    config = load_config(config_path, need_keys=False) if config_path.exists() else None
    digests = {"code": code_digest(), "policy": None if config is None else policy_digest(config)}
    if url is None and config is not None:
        url = internal_url(config)
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


@privacy.command(epilog=examples("privacy verify statement.json receipt.json --key KEY"))
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--key", help="The public key that must have signed them, from an earlier statement.")
@json_option
def verify(files: tuple[Path, ...], key: str | None, as_json: bool) -> None:
    """Verify signed statements and receipts, offline.

    Checks each signature, and that --key made all of them. A statement is the answer to GET /.well-known/ai-privacy. A
    receipt is the value of x-receipt, or the answer to GET /v1/requests/RID?receipt=1.
    """
    faults: list[str] = []
    if key is None:  # anybody can sign with a key of their own
        faults.append("the signer is unknown: with --key, give the public key of a statement that you got earlier")
    here = code_digest()
    rows: list[tuple[str, ...]] = []
    for path in files:
        try:
            document, public = opened(path.read_bytes())
        except SignatureFault as fault:
            faults.append(f"{path}: {fault}; fetch it again from the gateway")
            continue
        key = key or public
        if public != key:
            faults.append(f"{path}: signed with another key than --key or the other files; do not rely on it")
        code = document.get("code") == here
        if as_json:
            found = {"file": str(path), "valid": public == key, "public_key": public, "code_is_this": code}
            write_json({**found, "document": document})
        rows.append((str(path), str(document.get("type")), public, "this version's" if code else "another's"))
    if rows and not as_json:
        write_table("evidence", ("file", "is a", "signed with", "code"), rows)
    if faults:
        raise OperatorError(*faults)


def try_hardening() -> dict[str, Any]:
    """What a process hardened on this machine says of itself."""
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(  # noqa: S603 - our own module
            variables.python("gateway.hardening.trial", folder),
            env=variables.for_child(),
            stdout=subprocess.PIPE,
            check=True,
        )
    found: dict[str, Any] = orjson.loads(done.stdout)
    return found


def _ask(url: str) -> dict[str, Any] | None:
    """What the workers of a running gateway say; ``None`` if none answers."""
    try:
        found = orjson.loads(ask(url, "/hardening"))
        held = {measure.value: int(found["held"].get(measure, 0)) for measure in Measure}  # an older version has fewer
        told = found.get("variables_dropped", {})  # nor did it tell this
        switches = [name for name in told.get("switches", ()) if name in variables.SWITCHES]
        return {
            "workers": int(found["workers"]),
            "held": held,
            "variables_dropped": {"count": int(told.get("count", 0)), "switches": switches},
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None  # nothing listens there, or another program does


def _show(tried: dict[str, Any], running: dict[str, Any] | None) -> None:
    def of_workers(measure: Measure) -> str:
        return "-" if running is None else f"{running['held'][measure]} of {running['workers']}"

    rows = [(measure.value, tried["here"][measure], of_workers(measure), MEANINGS[measure]) for measure in Measure]
    write_table("hardening", ("measure", "here", "running workers", "meaning"), rows)
    click.echo(f"Landlock ABI {tried['landlock_abi']}" if tried["landlock_abi"] else "this kernel has no Landlock")
    for whose, told in (("this command", tried), ("the running gateway", running)):
        if told is not None:
            gone = told["variables_dropped"]
            among = f", among them {', '.join(gone['switches'])}" if gone["switches"] else ""
            click.echo(f"environment variables that have no effect on {whose}: {gone['count']}{among}")
    if running is None:
        click.echo("no running gateway answered: name its internal listener with --url")


def _missing(tried: dict[str, Any], running: dict[str, Any] | None) -> list[str]:
    """The measures that a running gateway lacks although its machine supports them."""
    if running is None:
        return []
    return [
        f"{measure}: active in {running['held'][measure]} of {running['workers']} workers; "
        'set [hardening] mode = "enforce" and restart'
        for measure in OWN
        if tried["here"][measure] == Measured.YES and running["held"][measure] < running["workers"]
    ]
