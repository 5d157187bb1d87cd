"""``make dist``: the files of a release, from the last commit, in ``dist/``."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import tarfile
import tempfile
import tomllib
from pathlib import Path

import msgspec
import orjson

from release.build import build, digest, manifest
from release.sbom import bill_of_materials

ROOT = Path(__file__).parent.parent


def git(*arguments: str) -> bytes:
    return subprocess.run(["git", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE).stdout


def unpack(archive: bytes, folder: Path) -> Path:
    with tarfile.open(fileobj=io.BytesIO(archive)) as opened:
        opened.extractall(folder, filter="data")
    return folder


def main() -> None:
    if not (ROOT / ".git").exists():
        sys.exit("error: a release is built from a commit; run make dist in a clone")
    if git("status", "--porcelain"):
        sys.exit("error: a release is built from a commit; commit or stash what git status shows")
    commit, seconds = git("log", "-1", "--format=%H %ct").decode().split()
    epoch = int(seconds)
    archive = git("archive", "--format=tar", commit)
    out = ROOT / "dist"
    shutil.rmtree(out, ignore_errors=True)
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as two:
        source = unpack(archive, Path(one, "a"))
        artifacts = build(source, out, epoch)
        again = build(unpack(archive, Path(two, "b")), Path(two, "dist"), epoch)
        if [(path.name, digest(path)) for path in artifacts] != [(path.name, digest(path)) for path in again]:
            sys.exit("error: two builds of this commit differ; compare the files in two unpacked archives")
        project = tomllib.loads((source / "pyproject.toml").read_text())["project"]
        lock = (source / "requirements/runtime.txt").read_text()
    stem = f"{project['name'].replace('-', '_')}-{project['version']}"
    bill = out / f"{stem}.cdx.json"
    bill.write_bytes(
        orjson.dumps(bill_of_materials(project["name"], project["version"], lock, epoch), option=orjson.OPT_INDENT_2)
    )
    listed = out / f"{stem}.manifest.json"
    said = manifest(project["name"], project["version"], commit, [*artifacts, bill])
    listed.write_bytes(msgspec.json.format(msgspec.json.encode(said), indent=2) + b"\n")
    for path in sorted(out.iterdir()):
        print(f"{digest(path)}  dist/{path.name}")


if __name__ == "__main__":
    main()
