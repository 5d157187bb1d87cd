"""Hardening cannot be undone, so that every test of it happens in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.hardening import landlock, seccomp

ROOT = Path(__file__).parents[3]

PREPARED = """
import ctypes, errno, json, os, resource, signal, socket, subprocess, sys
from dataclasses import replace
from pathlib import Path
from gateway.config import Config, HardeningConfig, HardeningMode, LogConfig, ServerConfig
from gateway import variables
from gateway.hardening import environment, kernel, landlock, process, seccomp
from gateway.hardening.process import Measured, Measure, harden, observe

folder = Path(sys.argv[1])
config = Config(path=folder / "gateway.toml", providers={}, server=ServerConfig(data_dir=folder / "data"))
config.server.data_dir.mkdir(exist_ok=True)

def error(call, *arguments):
    try:
        call(*arguments)
    except OSError as found:
        return errno.errorcode[found.errno]
    return None
"""

Run = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a script with ``folder``, ``config`` and ``error`` at hand; it must succeed unless told otherwise."""

    def run_script(
        script: str, *, check: bool = True, env: dict[str, str] | None = None, options: tuple[str, ...] = ()
    ) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            [sys.executable, *options, "-c", PREPARED + textwrap.dedent(script), str(tmp_path)],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env=env,
            check=False,
        )
        if check:
            assert done.returncode == 0, done.stderr
        return done

    return run_script


needs_landlock = pytest.mark.skipif(landlock.abi() == 0, reason="this kernel has no Landlock")
needs_seccomp = pytest.mark.skipif(not seccomp.supported(), reason="no seccomp filters on this machine")
