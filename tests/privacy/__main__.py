"""``make privacy``: run every test that a guarantee rests on, and write what they found.

The report goes to the terminal, to ``privacy-report.html`` and to ``privacy-report.json``. The exit code is
0 only where nothing was found, every control was caught and no test failed. Further arguments are pytest's.
"""

from __future__ import annotations

import dataclasses
import json
import platform
import sys
import time
from importlib.metadata import version
from pathlib import Path

import pytest
from rich.console import Console

from tests.privacy.guarantees import GUARANTEES
from tests.privacy.page import page, terminal
from tests.privacy.report import Collector, judge

ROOT = Path(__file__).parents[2]
WIDTH = 120  # where nobody says how wide it is, as in a log


def main(arguments: list[str]) -> int:
    collector = Collector()
    tests = list(dict.fromkeys(test.split("::")[0] for one in GUARANTEES for test in one.tests))
    began = time.monotonic()
    code = pytest.main(["-q", "--dist", "loadgroup", *arguments, *tests], plugins=[collector])
    verdict = judge(collector)
    facts = {
        "version": version("codegrex-gateway"),
        "Linux": platform.release(),
        "Python": platform.python_version(),
        "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
        "took": f"{time.monotonic() - began:.0f} s",
    }
    console = Console()
    terminal(verdict, console if console.is_terminal else Console(width=WIDTH))
    (ROOT / "privacy-report.html").write_text(page(verdict, facts))
    content = {**facts, "good": verdict.good and code == 0, **dataclasses.asdict(verdict)}
    (ROOT / "privacy-report.json").write_text(json.dumps(content, indent=1) + "\n")
    return 0 if verdict.good and code == 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
