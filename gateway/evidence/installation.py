"""Whether the installed files are those of a release: their digests, compared with a list.

Rules:

1. The list is the ``RECORD`` that the wheel brought, or the manifest of a release. Whoever can change a file can change
   the ``RECORD`` next to it too; a manifest that was fetched and whose signature was verified elsewhere shows that.
2. Every file in the package's folders counts, whatever its kind: a module of another suffix is imported instead of one
   that is listed.
3. A cached compilation is in no list. It must equal what its source compiles to, because it runs instead of it.
4. Nothing is imported or run by the comparison, and it reads only the package's folders.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import marshal
import os
import re
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import msgspec

FOLDERS = ("benchmarks", "gateway", "metering", "providers")

_HEADER = 16  # of a cached compilation: magic number, flags, and time and size or digest of the source (PEP 552)
_CACHED = re.compile(
    rf"((?:.*/)?)__pycache__/([^/]+)\.{re.escape(str(sys.implementation.cache_tag))}(?:\.opt-([12]))?\.pyc"
)
_DIGEST = re.compile(r"[0-9a-f]{64}")


class ManifestError(ValueError):
    """The list of files cannot be used; the text says why and how to fix it."""


class ReleaseManifest(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The manifest of a release, as ``make dist`` writes it: SHA-256 in hexadecimal digits.

    ``commit``: Git's name of what it was built from. ``artifacts``: each published file by its name. ``files``: each
    file that the wheel installs into the package's folders, by its path relative to the folder of installed packages.
    """

    name: str
    version: str
    commit: str
    artifacts: dict[str, str]
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class Differences:
    """Paths that differ from the list, each sorted."""

    changed: tuple[str, ...]
    missing: tuple[str, ...]
    added: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.changed or self.missing or self.added)


def recorded(text: str) -> dict[str, str]:
    """The digests in a ``RECORD`` of the package's files, by path.

    Format: https://packaging.python.org/en/latest/specifications/recording-installed-packages/. Raises `ManifestError`
    if a file has no SHA-256, or no file is listed. Cached compilations, which installers add, are left out.
    """
    found = {}
    for row in csv.reader(text.splitlines()):
        if not row or not in_package(row[0]) or _CACHED.fullmatch(row[0]):
            continue
        algorithm, _, value = (row[1] if len(row) > 1 else "").partition("=")
        try:
            digest = base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)).hex()
        except ValueError:
            digest = ""
        if algorithm != "sha256" or not _DIGEST.fullmatch(digest):
            raise ManifestError("the RECORD of the installed package has a file without SHA-256; use --manifest")
        found[row[0]] = digest
    if not found:
        raise ManifestError("the RECORD of the installed package lists none of its files; use --manifest")
    return found


def released(data: bytes, name: str, version: str) -> dict[str, str]:
    """The digests in the manifest of this release, by path. Raises `ManifestError` if it is not that."""
    try:
        manifest = msgspec.json.decode(data, type=ReleaseManifest)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise ManifestError("the file is not the manifest of a release; take the one that was published") from None
    if manifest.name != name or not manifest.files:
        raise ManifestError("the manifest lists no files of this program; take the one that was published")
    if manifest.version != version:
        raise ManifestError("the manifest is of another version than what is installed; take that version's")
    if not all(in_package(path) and _DIGEST.fullmatch(digest) for path, digest in manifest.files.items()):
        raise ManifestError("the manifest has an entry that no wheel has; take the one that was published")
    return manifest.files


def in_package(path: str) -> bool:
    """Whether a path of a list is in the package's folders."""
    parts = path.split("/")
    return parts[0] in FOLDERS and ".." not in parts


def contents(root: Path) -> Iterator[tuple[str, bytes]]:
    """Path and content of every file in the package's folders below ``root``.

    A link to a folder, or anything else that is neither file nor folder, counts as an empty file. Raises `OSError`.
    """
    for folder in FOLDERS:
        for place, folders, files in os.walk(root / folder, onerror=_raise):
            for name in (*(one for one in folders if Path(place, one).is_symlink()), *files):
                path = Path(place, name)
                yield path.relative_to(root).as_posix(), path.read_bytes() if path.is_file() else b""


def compare(expected: Mapping[str, str], found: Mapping[str, bytes]) -> Differences:
    """What differs between the digests of a list and the content of the installed files, both by path."""
    changed = {path for path in expected.keys() & found if hashlib.sha256(found[path]).hexdigest() != expected[path]}
    added = set()
    for path in found.keys() - expected:
        cached = _CACHED.fullmatch(path)
        source = f"{cached[1]}{cached[2]}.py" if cached else ""
        if cached is None or source not in expected:
            added.add(path)
        elif (
            source in found and source not in changed and not _compiled(found[path], found[source], int(cached[3] or 0))
        ):
            changed.add(path)
    missing = expected.keys() - found
    return Differences(tuple(sorted(changed)), tuple(sorted(missing)), tuple(sorted(added)))


def _compiled(cached: bytes, source: bytes, level: int) -> bool:
    """Whether a cached compilation is the one of this source, by this interpreter, at this level of optimization."""
    try:
        code = marshal.loads(cached[_HEADER:])  # noqa: S302 - compared, never run; what is installed has run already
    except (ValueError, EOFError, TypeError):
        return False
    return bool(code == compile(source, "", "exec", dont_inherit=True, optimize=level))


def _raise(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):  # a missing folder shows as its missing files
        raise error
