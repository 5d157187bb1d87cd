"""The bill of materials: what the locked requirements say, as CycloneDX 1.6 (https://cyclonedx.org/docs/1.6/json/).

Rules:

1. A pure function of the lock, the release and its time, so that the same commit has the same bytes.
2. A line of the lock that is not understood ends the release: a bill with a gap is false.
3. ``hashes`` of a component are those of all its published files. The one for the machine is installed, and pip checks
   that its hash is in the same list.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

MARKER = "codegrex-gateway:marker"  # the property that holds a condition of PEP 508

_ENTRY = re.compile(
    r"(?P<name>[a-z0-9][a-z0-9.-]*)==(?P<version>[^\s;\\]+)(?: ; (?P<marker>[^\\\n]+?))? \\\n"
    r"(?P<hashes>(?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)"
    r"(?P<via>(?:    #.*\n)*)"
)


@dataclass(frozen=True, slots=True)
class LockedPackage:
    name: str
    version: str
    marker: str | None
    hashes: tuple[str, ...]
    needed_by: tuple[str, ...]  # names of packages, and the project's own

    @property
    def purl(self) -> str:
        return f"pkg:pypi/{self.name}@{self.version}"


def locked(text: str) -> list[LockedPackage]:
    """The packages of a requirements file with hashes, as uv writes it. Raises `ValueError` with the first line that is
    not understood.
    """
    found = []
    at = 0
    while at < len(text):
        entry = _ENTRY.match(text, at)
        if entry is None:
            raise ValueError(f"not a locked requirement with its hashes: {text[at:].splitlines()[0]}")
        words = re.findall(r"[a-z0-9][a-z0-9.-]*(?: \(pyproject\.toml\))?", entry["via"].replace("# via", "#"))
        found.append(
            LockedPackage(
                entry["name"],
                entry["version"],
                entry["marker"],
                tuple(re.findall(r"[0-9a-f]{64}", entry["hashes"])),
                tuple(word.removesuffix(" (pyproject.toml)") for word in words),
            )
        )
        at = entry.end()
    return found


def bill_of_materials(name: str, version: str, lock: str, epoch: int) -> dict[str, Any]:
    """The bill of a release of ``name``, whose runtime dependencies are locked in ``lock``, made at ``epoch`` (Unix
    seconds).

    Raises `ValueError` if the lock is not understood, or a package in it is needed by one that is not.
    """
    packages = locked(lock)
    root = f"pkg:pypi/{name}@{version}"
    refs = {name: root, **{package.name: package.purl for package in packages}}
    needs: dict[str, list[str]] = {ref: [] for ref in refs.values()}
    for package in packages:
        if not package.needed_by or not all(one in refs for one in package.needed_by):
            raise ValueError(f"{package.name} is needed by a package that is not locked: {package.needed_by}")
        for one in package.needed_by:
            needs[refs[one]].append(package.purl)
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'{root} {epoch} {lock}')}",
        "version": 1,
        "metadata": {
            "timestamp": datetime.fromtimestamp(epoch, UTC).isoformat(),
            "component": {"type": "application", "bom-ref": root, "name": name, "version": version, "purl": root},
        },
        "components": [_component(package) for package in packages],
        "dependencies": [{"ref": ref, "dependsOn": sorted(on)} for ref, on in needs.items()],
    }


def _component(package: LockedPackage) -> dict[str, Any]:
    said: dict[str, Any] = {
        "type": "library",
        "bom-ref": package.purl,
        "name": package.name,
        "version": package.version,
        "purl": package.purl,
        "hashes": [{"alg": "SHA-256", "content": digest} for digest in package.hashes],
    }
    if package.marker is not None:
        said["properties"] = [{"name": MARKER, "value": package.marker}]
    return said
