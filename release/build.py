"""Builds wheel and source archive from a folder, and lists what the wheel installs.

Rules:

1. The same files and the same time give the same bytes, whatever the folder, the clock, the locale and the rights of
   the files. hatchling normalizes these; only it and the standard library take part.
2. The build opens no connection: what it would fetch is not in the commit.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

from gateway.evidence.installation import ReleaseManifest, in_package

# -I: no variable and no module of the folder has an effect on the interpreter.
_BUILD = """
import sys
def refuse(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo", "socket.sendto"):
        raise RuntimeError("a build may not use the network")
sys.addaudithook(refuse)
from hatchling.cli import hatchling
sys.exit(hatchling())
"""


def build(source: Path, out: Path, epoch: int, *targets: str) -> list[Path]:
    """Builds the targets (``sdist``, ``wheel``; both if none is named) of the project in ``source`` into ``out``, dated
    ``epoch`` (Unix seconds). Returns the files, sorted by name. Raises `subprocess.CalledProcessError`.
    """
    named = [word for target in targets for word in ("-t", target)]
    subprocess.run(
        [sys.executable, "-I", "-c", _BUILD, "build", "-d", str(out.absolute()), *named],
        cwd=source,
        env={"PATH": os.defpath, "SOURCE_DATE_EPOCH": str(epoch)},
        check=True,
        stdout=subprocess.DEVNULL,
    )
    return sorted(out.iterdir())


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def manifest(name: str, version: str, commit: str, artifacts: list[Path]) -> ReleaseManifest:
    """The manifest of a release with these files, one of which is the wheel."""
    (wheel,) = (path for path in artifacts if path.suffix == ".whl")
    with zipfile.ZipFile(wheel) as archive:
        files = {
            path: hashlib.sha256(archive.read(path)).hexdigest()
            for path in sorted(archive.namelist())
            if in_package(path)
        }
    return ReleaseManifest(name, version, commit, {path.name: digest(path) for path in artifacts}, files)
