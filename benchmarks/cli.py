"""The command line of the benchmarks. Each command imports what it needs when it runs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

RESULTS = Path("bench-results")
PATIENCE = click.option(
    "--patience", default=0.0, help="Seconds that a measurement may wait, and be repeated, for quiet."
)


@click.group(help=__doc__)
def main() -> None:
    """Group of the commands below."""


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []}, add_help_option=False)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def simulator(arguments: tuple[str, ...]) -> None:
    """Run the provider simulator (its own --help lists the faults)."""
    from benchmarks.simulator.__main__ import main as serve  # noqa: PLC0415 - one command's own import

    sys.argv = ["simulator", *arguments]
    serve()


@main.command()
@click.argument("scenario", type=click.Choice(("streams", "short", "embeddings", "aborts", "slow", "ide")))
@click.option("--url", required=True, help="Base URL, with or without the gateway in between.")
@click.option("--token", envvar="LOAD_TOKEN", default="none", help="As each dialect sends it; several with commas.")
@click.option("--model", default="bench", help="Model name; for ide up to three: completion,chat,agent.")
@click.option("--dialect", "dialects", multiple=True, default=("openai",))
@click.option("--callers", default=200, help="Connections at once; for ide the developers.")
@click.option("--rate", type=float, help="Open loop: requests a second. Default is the closed loop.")
@click.option("--seconds", default=10.0)
@click.option("--warmup", default=1.0)
@click.option("--ramp", default=0.0, help="Seconds over which the callers start.")
@click.option("--drain", default=0.0, help="Seconds to wait for open answers at the end.")
@click.option("--prompt-bytes", default=200)
@click.option("--ca-file", help="Certificates to trust instead of the system's.")
@click.option("--header", "headers", multiple=True, help="'Name: value', sent with every request (repeatable).")
@click.option("--marks", is_flag=True, help="Print a JSON line when the measured window opens and closes.")
@click.option("--out", type=click.Path(path_type=Path), help="Write the result there instead of printing it.")
def load(out: Path | None, **options: Any) -> None:
    """Generate load and print the result as JSON."""
    from benchmarks.load.run import Options, run_blocking  # noqa: PLC0415 - one command's own import

    result = run_blocking(Options(**options))
    text = json.dumps(result, indent=None if options["marks"] else 2)
    if out is None:
        print(text, flush=True)
    else:
        out.write_text(text + "\n")


@main.command()
@click.option("--rounds", default=3, help="Every contender is measured so many times.")
@click.option("--part", "parts", multiple=True, help="Only this part (repeatable): streams, tls, short ...")
@click.option("--only", multiple=True, help="Only this contender (repeatable).")
@click.option("--force", is_flag=True, help="Measure although others use the machine.")
@PATIENCE
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "comparison.json")
def compare(out: Path, **options: Any) -> None:
    """Compare the gateway with nginx, a plain aiohttp proxy and other gateways on one simulator.

    The part `peers` measures the gateways whose paths the environment names: GOMODEL, BIFROST, AGENTGATEWAY,
    LITELLM, PORTKEY (docs/performance.md).
    """
    from benchmarks.compare.run import PARTS, Loaded  # noqa: PLC0415 - one command's own import
    from benchmarks.compare.run import compare as run  # noqa: PLC0415 - one command's own import

    try:
        run(out=out, **options | {"parts": options["parts"] or PARTS})
    except (Loaded, RuntimeError) as reason:
        raise click.ClickException(str(reason)) from None
    click.echo(f"results: {out}")


@main.command()
@click.argument("results", type=click.Path(path_type=Path, exists=True), default=RESULTS / "comparison.json")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "report.html")
@click.option(
    "--document",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Write the peers' table to its place in this page, and nothing else.",
)
def report(results: Path, out: Path, document: Path | None) -> None:
    """Draw a comparison's results: one HTML page, and PNG files where matplotlib is installed."""
    from benchmarks.report import png  # noqa: PLC0415 - one command's own import
    from benchmarks.report.page import page  # noqa: PLC0415 - one command's own import

    result = json.loads(results.read_text())
    if document is not None:
        from benchmarks.peers import table  # noqa: PLC0415 - one command's own import

        if not result.get("peers"):
            raise click.ClickException(f"{results} has no peers: run compare --part peers with their paths")
        try:
            document.write_text(table.into(document.read_text(), table.markdown(result["peers"])))
        except ValueError as reason:
            raise click.ClickException(str(reason)) from None
        click.echo(f"table: {document}")
        return
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(page(result))
    click.echo(f"report: {out}")
    if png.available():
        for path in png.write(result, out.parent):
            click.echo(f"plot: {path}")
    else:
        click.echo("SKIPPED the PNG plots: matplotlib is not installed (extra `bench`)")


@main.command()
@click.option("--tool", type=click.Choice(("auto", "py-spy", "perf", "callgrind")), default="auto")
@click.option("--workload", type=click.Choice(("streams", "starts", "tls", "short", "body")), default="streams")
@click.option("--seconds", default=5.0)
@click.option("--native", is_flag=True, help="py-spy: C functions as well.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "profile")
def profile(tool: str, workload: str, seconds: float, native: bool, out: Path) -> None:
    """Profile the gateway under load and name its ten most expensive functions."""
    from rich.console import Console  # noqa: PLC0415 - one command's own import

    from benchmarks.compare.contenders import Unavailable  # noqa: PLC0415 - one command's own import
    from benchmarks.profile.run import TOOLS, print_costs, tool_path  # noqa: PLC0415 - one command's own import
    from benchmarks.profile.run import profile as run  # noqa: PLC0415 - one command's own import

    chosen = next((name for name in TOOLS if tool_path(name)), None) if tool == "auto" else tool
    if chosen is None:
        raise click.ClickException("no profiler is installed: py-spy, perf or valgrind")
    try:
        costs = run(chosen, workload, seconds, out, native=native)
    except Unavailable as reason:
        raise click.ClickException(str(reason)) from None
    print_costs(Console(width=150), f"{chosen}, {workload}", costs)
    click.echo(f"raw output: {out}")


@main.command()
@click.option("--rounds", default=3, help="Every layer is measured so many times.")
@click.option(
    "--part", "parts", multiple=True, help="Only this column (repeatable): short, streams, few, starts, body."
)
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "floor.json")
def floor(parts: tuple[str, ...], rounds: int, out: Path) -> None:
    """Measure what the gateway is built on, layer by layer: the floor under the comparison's rows."""
    from benchmarks.compare.contenders import Unavailable  # noqa: PLC0415 - one command's own import
    from benchmarks.floor.run import QUESTIONS  # noqa: PLC0415 - one command's own import
    from benchmarks.floor.run import floor as run  # noqa: PLC0415 - one command's own import

    if unknown := set(parts) - set(QUESTIONS):
        raise click.BadParameter(f"there is no {', '.join(sorted(unknown))}", param_hint="--part")
    try:
        run(parts or tuple(QUESTIONS), rounds=rounds, out=out)
    except (Unavailable, RuntimeError) as reason:
        raise click.ClickException(str(reason)) from None
    click.echo(f"results: {out}")


@main.command()
@click.option("--line", "names", multiple=True, help="Only this line of the failure table (repeatable).")
@click.option("--requests", default=90, help="Requests of each line.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "crash.json")
def crash(names: tuple[str, ...], requests: int, out: Path) -> None:
    """Kill, pause and cut everything there is, and compare the provider's bill with the ledger."""
    from benchmarks.crash.run import run  # noqa: PLC0415 - one command's own import

    if not run(names, requests=requests, out=out):
        raise click.ClickException("something was lost, doubled or left held: see the lines above")


@main.command()
@click.option(
    "--seconds", default=1_200.0, help="Of the hostile users; the honest ones are alone for a quarter before."
)
@click.option("--kinds", default="", help="Only these kinds of hostile users, with commas.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "hostile.json")
def hostile(kinds: str, seconds: float, out: Path) -> None:
    """Let ten hostile users loose beside ten honest ones, and check what the honest ones feel."""
    from benchmarks.hostile.attacks import KINDS  # noqa: PLC0415 - one command's own import
    from benchmarks.hostile.run import run  # noqa: PLC0415 - one command's own import

    chosen = [kind for kind in kinds.split(",") if kind]
    if unknown := set(chosen) - set(KINDS):
        raise click.BadParameter(f"there is no {', '.join(sorted(unknown))}", param_hint="--kinds")
    if not run(chosen, seconds=seconds, out=out):
        raise click.ClickException("something does not hold: see the lines above")


@main.command()
@click.option("--seconds", default=1_800.0, help="For which users send.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "soak.json")
def soak(seconds: float, out: Path) -> None:
    """Let IDEs send everything they send, and check that nothing grows, fails, or is lost or charged twice."""
    from benchmarks.soak.run import run  # noqa: PLC0415 - one command's own import

    if not run(seconds=seconds, out=out):
        raise click.ClickException("something does not hold: see the lines above")


@main.command()
@click.option("--seconds", default=300.0, help="Of the whole schedule.")
@click.option("--fault", "names", multiple=True, help="Only this fault (repeatable).")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "chaos.json")
def chaos(names: tuple[str, ...], seconds: float, out: Path) -> None:
    """Let provider, store, network, disk and workers fail on a schedule while IDEs send, and balance the ledger."""
    from benchmarks.chaos.run import run  # noqa: PLC0415 - one command's own import
    from benchmarks.chaos.schedule import STRIKES  # noqa: PLC0415 - one command's own import

    if unknown := set(names) - set(STRIKES):
        raise click.BadParameter(f"there is no {', '.join(sorted(unknown))}", param_hint="--fault")
    if not run(names, seconds=seconds, out=out):
        raise click.ClickException("something does not hold: see the lines above")


@main.command()
@click.option("--kind", "kinds", multiple=True, help="Only this way to fail (repeatable).")
@click.option("--share", "shares", multiple=True, type=click.IntRange(1, 100), help="Percent (repeatable): 1, 10, 100.")
@click.option("--users", default=12, help="Callers at once.")
@click.option("--requests", default=10, help="Of each caller and line.")
@click.option("--out", type=click.Path(path_type=Path), default=RESULTS / "failing.json")
def failing(kinds: tuple[str, ...], shares: tuple[int, ...], **options: Any) -> None:
    """Let one of two targets fail in every way, and print what callers feel: errors and added time."""
    from benchmarks.failing import run as campaign  # noqa: PLC0415 - one command's own import

    if unknown := set(kinds) - set(campaign.KINDS):
        raise click.BadParameter(f"there is no {', '.join(sorted(unknown))}", param_hint="--kind")
    if not campaign.run(kinds, shares, **options):
        raise click.ClickException("callers got errors although one target was healthy: see the lines above")


@main.command()
@click.option(
    "--corpus",
    envvar="CORPUS_DIR",
    required=True,
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="Folder of recordings.jsonl.gz.",
)
def estimates(corpus: Path) -> None:
    """Compare the estimates of tokens with what providers reported, on recorded traffic."""
    from benchmarks.estimates.measure import report as run  # noqa: PLC0415 - one command's own import

    run(corpus)


@main.command(context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def micro(arguments: tuple[str, ...]) -> None:
    """Time the pieces of the hot path with pytest-benchmark (its options may follow)."""
    import pytest  # noqa: PLC0415 - one command's own import

    folder = Path(__file__).parent / "micro"
    files = sorted(str(path) for path in folder.glob("bench_*.py"))
    base = [
        "-q",
        "-p",
        "no:cacheprovider",
        "-p",
        "no:xdist",
        "-p",
        "no:asyncio",
        "-c",
        "/dev/null",
        "--rootdir",
        str(folder.parent.parent),
    ]
    columns = ["--benchmark-columns=min,median,ops,rounds", "--benchmark-sort=name", "--benchmark-disable-gc"]
    sys.exit(pytest.main([*base, *columns, *arguments, *files]))


@main.command(name="all")
@click.option("--force", is_flag=True, help="Measure although others use the machine.")
@PATIENCE
@click.pass_context
def everything(context: click.Context, force: bool, patience: float) -> None:
    """What `make bench` runs: the comparison, its report, and the timings of the pieces."""
    context.invoke(
        compare, rounds=3, parts=(), only=(), force=force, patience=patience, out=RESULTS / "comparison.json"
    )
    context.invoke(report, results=RESULTS / "comparison.json", out=RESULTS / "report.html", document=None)
    context.invoke(micro, arguments=("--benchmark-max-time=0.2", "--benchmark-min-rounds=5"))
