"""Which version of a program was measured, as far as it says so itself."""

from __future__ import annotations

import hashlib
import json
import re
import subprocess
from pathlib import Path

_SECONDS = 60.0  # a large Python program takes ten of them to say its version
# What some compilers write into a program: its main module and that module's version.
_MODULE = re.compile(rb"\nmod\t[^\t\n]+\t([^\t\n]+)")
_NUMBER = re.compile(r"\d+(?:\.\d+)+[\w.+-]*")
_SCRIPTS = frozenset((".js", ".mjs", ".cjs"))


def version_of(program: Path) -> str:
    """A package's or module's version, what ``--version`` prints, or how the file's SHA-256 begins."""
    if program.suffix in _SCRIPTS:
        package = next((file for folder in program.parents if (file := folder / "package.json").exists()), None)
        return str(json.loads(package.read_text()).get("version", "")) if package is not None else ""
    content = program.read_bytes() if program.is_file() else b""
    module = _MODULE.search(content)
    if module is not None and module[1] != b"(devel)":
        return module[1].decode()
    if module is None and (number := _printed(program)):
        return number
    return f"SHA-256 {hashlib.sha256(content).hexdigest()[:12]}"


def _printed(program: Path) -> str:
    try:
        done = subprocess.run(
            [program, "--version"],
            capture_output=True,
            text=True,
            check=False,
            timeout=_SECONDS,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    found = _NUMBER.search(done.stdout) or _NUMBER.search(done.stderr)
    return found[0] if found else ""


def processor() -> str:
    """The processor's name, empty where the system does not say."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return ""
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "")
