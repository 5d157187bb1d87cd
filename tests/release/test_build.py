"""A release has the same bytes wherever it is built, and holds what it should."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import msgspec
import pytest

from gateway.evidence.installation import FOLDERS, ReleaseManifest
from release.build import build, digest, manifest
from tests.test_repository import ROOT, tracked

EPOCH = 1_767_225_600
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


def copied(folder: Path, *, mode: int, time: int) -> Path:
    """The files of a commit, as another machine may have them: other rights, times and order in the folders."""
    for path in sorted(tracked(), reverse=mode == 0o600):
        to = folder / path.relative_to(ROOT)
        to.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, to)
        to.chmod(mode)
        os.utime(to, (time, time))
    return folder


def git(folder: Path, *arguments: str) -> str:
    who = {f"GIT_{role}_{field}": "a@b" for role in ("AUTHOR", "COMMITTER") for field in ("NAME", "EMAIL")}
    plain = {
        "HOME": str(folder),
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_COMMITTER_DATE": f"{EPOCH} +0000",
        "PATH": os.environ["PATH"],
    }
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=plain | who, check=True, capture_output=True, text=True, timeout=60
    )
    return done.stdout


def dist(folder: Path) -> subprocess.CompletedProcess[str]:
    """What `make dist` runs."""
    command = [sys.executable, "-m", "release"]
    return subprocess.run(
        command, cwd=folder, check=False, capture_output=True, text=True, timeout=100, stdin=subprocess.DEVNULL
    )


@pytest.fixture(scope="module")
def clone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("git") is None:
        pytest.skip("git is not installed: a release is NOT built")
    folder = copied(tmp_path_factory.mktemp("clone"), mode=0o644, time=1_700_000_000)
    git(folder, "init", "--quiet")
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--message", "A commit")
    return folder


@pytest.fixture(scope="module")
def released(clone: Path) -> dict[str, Path]:
    """The files of a release by their kind, as `make dist` makes them of a commit."""
    done = dist(clone)
    assert done.returncode == 0, done.stderr
    said = dict(line.split("  ")[::-1] for line in done.stdout.splitlines())
    paths = sorted((clone / "dist").iterdir())
    assert said == {f"dist/{path.name}": digest(path) for path in paths}
    stem = f"{PROJECT['project']['name'].replace('-', '_')}-{PROJECT['project']['version']}"
    return {path.name.removeprefix(stem): path for path in paths}


@pytest.fixture(scope="module")
def built(released: dict[str, Path]) -> list[Path]:
    return [released["-py3-none-any.whl"], released[".tar.gz"]]


def test_a_release_has_the_files_that_the_document_lists(released: dict[str, Path]) -> None:
    page = (ROOT / "docs/operations/releasing.md").read_text()
    assert set(re.findall(r"^\| `codegrex_gateway-V([^`]+)` \|", page, re.MULTILINE)) == set(released)


def test_its_manifest_has_the_commit_and_every_other_file(released: dict[str, Path], clone: Path) -> None:
    said = msgspec.json.decode(released[".manifest.json"].read_bytes(), type=ReleaseManifest)
    assert said.commit == git(clone, "rev-parse", "HEAD").strip()
    assert said.artifacts == {path.name: digest(path) for kind, path in released.items() if kind != ".manifest.json"}


def test_its_bill_of_materials_is_dated_by_the_commit(released: dict[str, Path]) -> None:
    bill = json.loads(released[".cdx.json"].read_bytes())
    assert bill["metadata"]["timestamp"] == "2026-01-01T00:00:00+00:00"
    assert len(bill["components"]) > 30


def test_what_is_not_committed_is_not_released(released: dict[str, Path], clone: Path) -> None:
    assert released
    (clone / "gateway/more.txt").touch()
    done = dist(clone)
    (clone / "gateway/more.txt").unlink()
    assert done.returncode == 1
    assert done.stderr == "error: a release is built from a commit; commit or stash what git status shows\n"
    assert all(path.exists() for path in released.values())


def test_two_builds_in_two_folders_have_the_same_bytes(built: list[Path], tmp_path: Path) -> None:
    again = build(copied(tmp_path / "a/longer/path", mode=0o600, time=1_600_000_000), tmp_path / "out", EPOCH)
    assert [path.suffix for path in built] == [".whl", ".gz"]
    assert [(path.name, digest(path)) for path in again] == [(path.name, digest(path)) for path in built]


def test_the_wheel_of_the_source_archive_is_the_same_wheel(built: list[Path], tmp_path: Path) -> None:
    wheel, archive = built
    with tarfile.open(archive) as opened:
        opened.extractall(tmp_path, filter="data")
    (again,) = build(tmp_path / archive.name.removesuffix(".tar.gz"), tmp_path / "out", EPOCH, "wheel")
    assert (again.name, digest(again)) == (wheel.name, digest(wheel))


def test_the_time_of_the_release_is_in_it(built: list[Path]) -> None:
    """So that equal bytes are not those of a build that dates nothing."""
    with zipfile.ZipFile(built[0]) as archive:
        assert {one.date_time for one in archive.infolist()} == {(2026, 1, 1, 0, 0, 0)}
    with tarfile.open(built[1]) as opened:
        assert {one.mtime for one in opened} == {EPOCH}


def test_a_build_that_would_use_the_network_fails(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    peer = socket.create_server(("127.0.0.1", 0))
    (tmp_path / "thing").mkdir()
    (tmp_path / "thing/__init__.py").touch()
    (tmp_path / "hatch_build.py").write_text(
        "import socket\n"
        "from hatchling.builders.hooks.plugin.interface import BuildHookInterface\n"
        "class Fetch(BuildHookInterface):\n"
        "    def initialize(self, version, build_data):\n"
        f"        socket.create_connection({peer.getsockname()}, timeout=10)\n"
    )
    (tmp_path / "pyproject.toml").write_text(
        '[build-system]\nrequires = ["hatchling"]\nbuild-backend = "hatchling.build"\n'
        '[project]\nname = "thing"\nversion = "1"\n[tool.hatch.build.hooks.custom]\n'
    )
    with peer, pytest.raises(subprocess.CalledProcessError):
        build(tmp_path, tmp_path / "out", EPOCH, "wheel")
    assert "may not use the network" in capfd.readouterr().err
    assert not list(tmp_path.glob("out/*"))


def test_the_manifest_lists_what_the_wheel_installs_into_the_package_s_folders(built: list[Path]) -> None:
    said = manifest("codegrex-gateway", PROJECT["project"]["version"], "", built)
    assert said.files["gateway/errors.py"] == digest(ROOT / "gateway/errors.py")
    assert said.files["gateway/portal/documentation/billing.md"] == digest(ROOT / "docs/billing.md")
    with zipfile.ZipFile(built[0]) as archive:
        others = {name for name in archive.namelist() if name not in said.files}
    assert {name.split("/")[0] for name in others} == {f"codegrex_gateway-{said.version}.dist-info"}


def test_the_folders_of_the_package_are_those_that_the_wheel_is_made_of() -> None:
    assert sorted(PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]) == list(FOLDERS)
