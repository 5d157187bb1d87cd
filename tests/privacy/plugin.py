"""The report as a part of a pytest run: `Reporting` hears the tests, and says at the end what they showed.

Rules:

1. A run of every test reports (``make test``), and so does ``python -m tests.privacy``. A selection of tests proves
   nothing about the rest, so it says nothing and leaves an earlier report alone.
2. The tests run once: nothing is run for the report.
3. A guarantee that does not hold fails the run, whatever its tests ended in. One that could not be tried here, because
   a test says what this machine lacks, fails it where the report is what was asked for.
4. With workers of pytest-xdist, the process that they report to reports.
"""

from __future__ import annotations

import dataclasses
import io
import json
import platform
import time
from importlib.metadata import version

import pytest
from rich.console import Console

from tests.privacy.page import page, terminal
from tests.privacy.report import Collector, Verdict, judge

WIDTH = 120  # where nobody says how wide it is, as in a log
SELECTING = ("keyword", "markexpr", "collectonly", "lf", "stepwise", "deselect", "ignore", "ignore_glob")


def pytest_configure(config: pytest.Config) -> None:
    """Report on a run of every test."""
    whole = config.args_source is pytest.Config.ArgsSource.TESTPATHS
    if whole and not any(config.getoption(name, None) for name in SELECTING) and not hasattr(config, "workerinput"):
        config.pluginmanager.register(Reporting(), "privacy-report")


@dataclasses.dataclass(eq=False)
class Reporting(Collector):
    """A pytest plugin. ``strict``: what could not be tried is a failure."""

    strict: bool = False
    began: float = dataclasses.field(default_factory=time.monotonic)
    verdict: Verdict | None = None

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if exitstatus not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED}:
            return  # broken off
        self.verdict = judge(self)
        if not (self.verdict.good if self.strict else self.verdict.good_as_far_as_tried):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
        if self.verdict is None:
            return
        facts = {
            "version": version("codegrex-gateway"),
            "Linux": platform.release(),
            "Python": platform.python_version(),
            "made": time.strftime("%Y-%m-%d %H:%M UTC", time.gmtime()),
            "took": f"{time.monotonic() - self.began:.0f} s",
        }
        content = {**facts, "good": self.verdict.good, **dataclasses.asdict(self.verdict)}
        (config.rootpath / "privacy-report.html").write_text(page(self.verdict, facts))
        (config.rootpath / "privacy-report.json").write_text(json.dumps(content, indent=1) + "\n")
        terminalreporter.section("privacy")
        terminalreporter.write(self._table(terminalreporter))
        terminalreporter.write_line("the same in privacy-report.html and privacy-report.json")

    def _table(self, reporter: pytest.TerminalReporter) -> str:
        assert self.verdict is not None
        text = io.StringIO()
        width = reporter._tw.fullwidth if reporter.isatty else WIDTH
        terminal(self.verdict, Console(file=text, width=width, force_terminal=reporter.hasmarkup))
        return text.getvalue()
