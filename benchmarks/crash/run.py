"""Runs the lines, prints a row for each, and says whether anything was lost or doubled."""

from __future__ import annotations

import asyncio
import json
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks.crash.audit import Audit, audit, held
from benchmarks.crash.lines import LINES, Skipped, small_disk
from benchmarks.crash.stand import Stand
from gateway.accounts.opening import opened
from gateway.config.load import load

REST_SECONDS = 45.0
_COLUMNS = ("requests", "answered", "billed", "records", "reported", "partial", "orphan", "unbilled", "lost", "doubled")


def run(names: Sequence[str], *, requests: int, out: Path | None) -> bool:
    """Run the named lines (all of them where empty) with so many requests each; whether all were good."""
    print(f"{'line':<46}" + "".join(f"{name:>10}" for name in _COLUMNS))
    results: dict[str, Any] = {}
    for name in names or LINES:
        text = LINES[name][0]
        began = time.monotonic()
        try:
            found, more = asyncio.run(line(name, requests))
        except Skipped as reason:
            print(f"{text:<46}SKIPPED: {reason}", flush=True)
            results[name] = {"line": text, "skipped": str(reason)}
            continue
        row = "".join(f"{getattr(found, column):>10}" for column in _COLUMNS)
        notes = ", ".join(f"{key} {value}" for key, value in more.items())
        extra = "" if found.good else f"  WRONG {found.wrong}, HELD {found.held}"
        print(f"{text:<46}{row}  {notes}{extra}", flush=True)
        results[name] = {"line": text, "seconds": round(time.monotonic() - began, 1), **found.as_dict(), **more}
    total = {column: sum(result.get(column, 0) for result in results.values()) for column in _COLUMNS}
    print(f"{'all':<46}" + "".join(f"{total[column]:>10}" for column in _COLUMNS))
    good = all(result.get("good", True) for result in results.values())
    if out is not None:
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(json.dumps({"good": good, "total": total, "lines": results}, indent=2) + "\n")
    return good


async def line(name: str, requests: int) -> tuple[Audit, dict[str, Any]]:
    """Run one line: what the comparison found, and what else it noted. Raises `Skipped`."""
    _, work, plan = LINES[name]
    with tempfile.TemporaryDirectory(prefix="crash-") as folder:
        stand = Stand(Path(folder) / "stand", plan, disk=small_disk if name == "disk" else None)
        try:
            with stand:
                accounts = await stand.accounts(requests)
                seen, more = await work(stand, accounts)
                async with opened(load(stand.config)) as at:
                    deadline = time.monotonic() + REST_SECONDS
                    while await held(at.ledger, accounts) and time.monotonic() < deadline:  # noqa: ASYNC110 - other processes
                        await asyncio.sleep(0.1)
                    await asyncio.sleep(plan.lease_ms / 1_000)  # what was adopted last replaces an orphan
                    code = await asyncio.to_thread(stand.stop)
                    found = await audit(at.store, at.ledger, accounts, stand.sim.bills(), seen)
                return found, {**more, "exit": code}
        finally:
            if name == "disk":
                subprocess.run(["umount", str(stand.spool)], capture_output=True, check=False)
