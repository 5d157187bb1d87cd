"""What a run did not test: one block at its end, and with ``REQUIRE_ALL=1`` a failure.

Rules:

1. Every skip counts, whatever its reason: a program, the recordings, a right or something of the kernel that is missing
   here. Only the tests of a real engine may be skipped (the mark ``local_e2e``): they have a command of their own.
2. A test whose subject is what the program does with and without something of the kernel does not skip. It tests the
   one or the other, and says with ``record_property(LACKS, text)`` that it was the other.
3. The block is printed last but for pytest's own line, and only if there is something to say.
4. With workers of pytest-xdist, the process that they report to decides.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests import tools

VARIABLE = "REQUIRE_ALL"
EXEMPT = "local_e2e"
LACKS = "lacks"
TITLE = "NOT TESTED"


def pytest_configure(config: pytest.Config) -> None:
    if not hasattr(config, "workerinput"):
        config.pluginmanager.register(Untested(required=os.environ.get(VARIABLE) == "1"), "untested")


@dataclass(eq=False)  # pytest keeps its plugins in sets
class Untested:
    """A pytest plugin that hears of what was skipped."""

    required: bool
    skipped: dict[str, str] = field(default_factory=dict)  # the reason of each node
    lacking: dict[str, str] = field(default_factory=dict)  # what of the kernel each node had to do without

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        self._note(report)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.lacking.update((report.nodeid, str(text)) for name, text in report.user_properties if name == LACKS)
        if EXEMPT not in report.keywords:
            self._note(report)

    def _note(self, report: pytest.CollectReport | pytest.TestReport) -> None:
        if report.skipped and not hasattr(report, "wasxfail"):
            where = report.longrepr
            self.skipped[report.nodeid] = where[2].removeprefix("Skipped: ") if isinstance(where, tuple) else str(where)

    def pytest_sessionfinish(self, session: pytest.Session, exitstatus: int) -> None:
        if self.required and self.skipped and exitstatus == pytest.ExitCode.OK:
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> Iterator[None]:
        yield
        if not self.skipped and not self.lacking:
            return
        terminalreporter.section(TITLE, red=True, bold=True)
        for nodes in (self.skipped, self.lacking):
            for reason in sorted(set(nodes.values())):
                count = sum(1 for one in nodes.values() if one == reason)
                terminalreporter.write_line(f"{reason} ({count} test{'s' if count > 1 else ''})")
        if {tool.reason for tool in tools.missing()} & set(self.skipped.values()):
            terminalreporter.write_line(f"Install these programs with: {tools.COMMAND}")
        if self.required and self.skipped:
            terminalreporter.write_line(f"{VARIABLE}=1: a run that skips a test fails.")
