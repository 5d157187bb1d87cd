"""The programs of the system that tests need, and the one command that installs what is missing (``make tools``).

Rules:

1. Every program that a test can't do without is in `TOOLS`, with what is not tested if it is missing.
2. Only the standard library is imported: ``make tools`` runs before anything is installed.
3. Nothing is installed without the right to: as root, or through sudo, which asks for a password only at a terminal.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = "make tools"
FOLDERS = ("/usr/sbin",)  # where Debian keeps servers, and not every user looks
POLICY = Path("/usr/sbin/policy-rc.d")  # Debian's hook: 101 forbids that an installed service is started


@dataclass(frozen=True)
class Tool:
    """A program, the Debian package that has it, and what is tested with it."""

    package: str
    tested: str
    programs: tuple[str, ...] = ()  # any of these; usually one that is named as its package
    variable: str = ""  # of the environment, which may name the program

    @property
    def path(self) -> str | None:
        """The program's path, or None if it is not installed."""
        if self.variable and (named := os.environ.get(self.variable)):
            return named
        folders = os.pathsep.join([os.environ.get("PATH", os.defpath), *FOLDERS])
        return next(
            (found for name in self.programs or (self.package,) if (found := shutil.which(name, path=folders))), None
        )

    @property
    def reason(self) -> str:
        """Why a test is skipped."""
        return f"{self.package} is not installed: {self.tested}"


TOOLS = {
    tool.package: tool
    for tool in (
        Tool("strace", "the canary hunt and the sockets of local mode are NOT tested"),
        Tool(
            "chromium",
            "the portal's pages are NOT tested",
            ("chromium", "chromium-browser", "google-chrome"),
            "CHROMIUM",
        ),
        Tool("redis-server", "Redis is NOT tested, only the embedded store"),
        Tool("nginx", "the comparison with nginx, and nginx in front of the gateway, are NOT tested"),
        Tool("curl", "the README's curl line is NOT tested"),
        Tool("haproxy", "HAProxy in front of the gateway is NOT tested"),
        # The second name is that of the package, whose programs come together.
        Tool("prometheus", "the alert rules are NOT tested", ("promtool", "prometheus")),
        Tool("systemd", "the systemd unit is NOT checked", ("systemd-analyze", "systemd")),
    )
}

# $1 is the policy file, the rest are packages. One that this system does not have must not keep the others away.
_INSTALL = """
policy=$1; shift
if [ ! -e "$policy" ]; then
    trap 'rm -f "$policy"' EXIT
    printf '#!/bin/sh\\nexit 101\\n' >"$policy" && chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
install() { apt-get install -qq -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@"; }
apt-get update -qq
install "$@" || for package in "$@"; do install "$package"; done
"""


def missing() -> list[Tool]:
    return [tool for tool in TOOLS.values() if tool.path is None]


def needs(package: str):
    """The mark of tests that need a program of `TOOLS`."""
    import pytest

    tool = TOOLS[package]
    return pytest.mark.skipif(tool.path is None, reason=tool.reason)


def need(package: str) -> str:
    """The program's path; skips the test that asks if there is none."""
    import pytest

    tool = TOOLS[package]
    return tool.path or pytest.skip(tool.reason)


def _rights() -> list[str] | None:
    """What a command that installs begins with, or None if this user may not."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo is None:
        return None
    asking = [sudo] if sys.stdin is not None and sys.stdin.isatty() else [sudo, "-n"]
    return asking if subprocess.run([*asking, "true"], check=False).returncode == 0 else None


def install() -> int:
    """Install what is missing; 0 if nothing is missing then."""
    packages = [tool.package for tool in missing()]
    if not packages:
        return 0
    rights = _rights() if shutil.which("apt-get") else None
    if rights is not None:
        command = [*rights, "sh", "-c", _INSTALL, "sh", str(POLICY), *packages]
        subprocess.run(command, stdin=subprocess.DEVNULL, check=False)
    left = missing()
    for tool in left:
        print(tool.reason, file=sys.stderr)
    if left and rights is None:
        by_hand = f"apt-get install {' '.join(packages)}"
        print(f"Only root can install programs, on Debian and Ubuntu with: {by_hand}", file=sys.stderr)
    return int(bool(left))


if __name__ == "__main__":
    sys.exit(install())
