"""``verify-install`` on what pip really installed, changed in every way that a file can be."""

from __future__ import annotations

import ensurepip
import json
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import pytest
from click.testing import CliRunner

import gateway
from gateway.cli import cli
from gateway.cli.examples import PROGRAM
from release.build import build, manifest
from tests.test_repository import ROOT

VERSION = "0.1.0"
RUN = "import sys; sys.path.insert(0, sys.argv.pop(1)); from gateway.cli import main; main(sys.argv[1:])"


def pip() -> list[str]:
    """pip of this environment, else the one that Python brings along."""
    if find_spec("pip") is not None:
        return [sys.executable, "-m", "pip"]
    (wheel,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
    return [sys.executable, f"{wheel}/pip"]


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    (path,) = build(ROOT, tmp_path_factory.mktemp("wheel"), 1_767_225_600, "wheel")
    return path


@pytest.fixture(scope="module")
def pristine(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of installed packages as pip leaves it; the interpreter compiles what it imports."""
    folder = tmp_path_factory.mktemp("pristine")
    words = (
        "install",
        "--no-deps",
        "--no-index",
        "--disable-pip-version-check",
        "--quiet",
        "--no-compile",
        "--target",
        str(folder),
    )
    subprocess.run([*pip(), *words, str(wheel)], check=True, timeout=100, stdin=subprocess.DEVNULL)
    return folder


@pytest.fixture
def installed(pristine: Path, tmp_path: Path) -> Path:
    """A copy to change; without the compilations, which take longest to compare."""
    folder = tmp_path / "site"
    shutil.copytree(pristine, folder, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


def verify(folder: Path, *arguments: str) -> tuple[int, str, str]:
    """As if the code of this folder ran: the command judges what lies beside the package that it is part of."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gateway, "__file__", str(folder / "gateway/__init__.py"))
        done = CliRunner().invoke(cli, ["verify-install", *arguments])
    assert done.exception is None or isinstance(done.exception, SystemExit)
    return done.exit_code, done.stdout, done.stderr


def summary(folder: Path, *arguments: str) -> tuple[int, dict[str, Any]]:
    code, out, err = verify(folder, "--json", *arguments)
    assert err == ""
    return code, json.loads(out)


def test_what_pip_installed_and_python_compiled_is_as_released(pristine: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-I", "-c", RUN, str(pristine), "verify-install"],
        capture_output=True,
        text=True,
        timeout=100,
        stdin=subprocess.DEVNULL,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert list(pristine.glob("gateway/cli/__pycache__/*.pyc"))
    assert f"files of {VERSION} in {pristine}, compared with the RECORD: all as released" in done.stdout


def test_it_is_as_the_manifest_says(installed: Path, wheel: Path, tmp_path: Path) -> None:
    listed = tmp_path / "release.manifest.json"
    said = manifest(PROGRAM, VERSION, "", [wheel])
    listed.write_bytes(msgspec.json.encode(said))
    code, found = summary(installed, "--manifest", str(listed))
    assert (code, found["compared_with"], found["files"]) == (0, "manifest", len(said.files))
    assert [found[kind] for kind in ("changed", "missing", "added")] == [[], [], []]


def test_each_difference_is_named_whatever_the_file(installed: Path) -> None:
    with (installed / "gateway/files.py").open("a") as file:
        file.write("\n")
    (installed / "metering/ledger/ledger.lua").unlink()
    (installed / "gateway/files.abi3.so").write_bytes(b"")  # imported instead of files.py
    (installed / "providers/.hidden").write_bytes(b"")
    (installed / "benchmarks/else\x1b[2Jwhere").symlink_to("/")
    code, found = summary(installed)
    assert code == 1
    assert found["changed"] == ["gateway/files.py"]
    assert found["missing"] == ["metering/ledger/ledger.lua"]
    assert found["added"] == [r"'benchmarks/else\x1b[2Jwhere'", "gateway/files.abi3.so", "providers/.hidden"]
    code, out, _ = verify(installed)
    assert code == 1
    assert "\x1b" not in out
    assert out.splitlines()[0] == "changed  gateway/files.py"
    assert out.splitlines()[-1].endswith("1 changed, 1 missing, 3 added")


def test_a_file_beside_the_package_is_not_the_package_s(installed: Path) -> None:
    (installed / "other").mkdir()
    (installed / "other/__init__.py").touch()
    (installed / "gateway/empty").mkdir()
    assert verify(installed)[0] == 0


def test_a_forged_record_does_not_pass_the_manifest(installed: Path, wheel: Path, tmp_path: Path) -> None:
    """Rule 1 of the comparison: the RECORD is as easy to change as the file."""
    listed = tmp_path / "release.manifest.json"
    listed.write_bytes(msgspec.json.encode(manifest(PROGRAM, VERSION, "", [wheel])))
    (installed / "gateway/files.py").write_text("")
    (record,) = installed.glob("codegrex_gateway-*.dist-info/RECORD")
    empty = "sha256=47DEQpj8HBSa-_TImW-5JCeuQeRkm5NMpJWZG3hSuFU,0"
    lines = record.read_text().splitlines()
    record.write_text("\n".join(f"gateway/files.py,{empty}" if "gateway/files.py," in line else line for line in lines))
    assert verify(installed)[0] == 0
    code, found = summary(installed, "--manifest", str(listed))
    assert (code, found["changed"]) == (1, ["gateway/files.py"])


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"{", "not the manifest of a release"),
        (
            b'{"name": "other", "version": "0.1.0", "commit": "", "artifacts": {}, "files": {"gateway/a-1.py": "00"}}',
            "lists no files",
        ),
        (
            b'{"name": "codegrex-gateway", "version": "9", "commit": "", "artifacts": {}, "files": {"gateway/a-1.py": "00"}}',
            "another version",
        ),
        (
            b'{"name": "codegrex-gateway", "version": "0.1.0", "commit": "", "artifacts": {}, "files": {"a.py": "00"}}',
            "no wheel has",
        ),
        (None, "No such file"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_one_line(
    installed: Path, tmp_path: Path, data: bytes | None, said: str
) -> None:
    listed = tmp_path / "manifest.json"
    if data is not None:
        listed.write_bytes(data)
    code, out, err = verify(installed, "--manifest", str(listed))
    assert (code, out, len(err.splitlines())) == (1, "", 1)
    assert said in err


def test_without_a_record_it_asks_for_the_manifest(installed: Path) -> None:
    (record,) = installed.glob("codegrex_gateway-*.dist-info/RECORD")
    record.unlink()
    code, _, err = verify(installed)
    assert (code, err) == (1, "error: the installed package has no RECORD: use --manifest\n")


def test_of_a_source_tree_it_says_that_there_is_nothing_to_compare(tmp_path: Path) -> None:
    code, out, err = verify(ROOT)
    assert (code, err) == (0, "")
    assert str(ROOT) in out
    assert out.endswith("there is nothing to compare\n")
    assert summary(ROOT) == (0, {"compared_with": None, "root": str(ROOT)})
    (tmp_path / "m").write_text("{}")
    code, out, err = verify(ROOT, "--manifest", str(tmp_path / "m"))
    assert (code, out) == (1, "")
    assert "install the wheel" in err
