"""docs/architecture.md is true: the folders' sentences, and the files and functions that its walks name."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("gateway", "providers", "metering")
PAGE = (ROOT / "docs/architecture.md").read_text()
SECTIONS = {title.strip(): text for title, _, text in (part.partition("\n") for part in PAGE.split("\n## ")[1:])}
WALKS = ("A streamed request", "A billing read", "A device login")
NAMED = re.compile(r"`([\w/]+\.(?:py|lua))`|`((?:\w+\.)?\w+)\(\)`")


def steps(walk: str) -> str:
    """The numbered steps of a walk, without what is said before and after them."""
    found = re.findall(r"^[0-9]+\. .*\n(?:   .*\n)*", SECTIONS[walk], re.MULTILINE)
    assert len(found) > 5
    return "".join(found)


def defined(path: Path) -> set[str]:
    """The functions of a module, and its methods as ``Class.method``."""
    found = set()
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.ClassDef):
            methods = (one for one in node.body if isinstance(one, ast.FunctionDef | ast.AsyncFunctionDef))
            found |= {f"{node.name}.{one.name}" for one in methods}
    return found


def test_each_folder_has_its_sentence() -> None:
    sentences = {}
    for package in PACKAGES:
        for path in (ROOT / package).rglob("__init__.py"):
            text = ast.get_docstring(ast.parse(path.read_text()))
            assert text is not None, path
            sentences[f"{path.parent.relative_to(ROOT).as_posix()}/"] = " ".join(text.split("\n\n")[0].split())
    table = dict(re.findall(r"^\| `([\w/]+/)` \| (.+) \|$", SECTIONS["The folders"], re.MULTILINE))
    assert table == {folder: sentence.replace("``", "`") for folder, sentence in sentences.items()}


def test_the_picture_has_folders_that_exist() -> None:
    assert "](architecture.svg)" in SECTIONS["The picture"]
    picture = (ROOT / "docs/architecture.svg").read_text()
    folders = re.findall(r">((?:gateway|providers|metering)[\w/]*)</text>", picture)
    assert len(folders) > 10
    assert [folder for folder in folders if not (ROOT / folder / "__init__.py").exists()] == []


def test_the_order_of_the_gateway_s_folders_is_the_one_that_is_enforced() -> None:
    quoted = " ".join(re.findall(r"^> (.*)$", SECTIONS["The picture"], re.MULTILINE))
    contract = (ROOT / "pyproject.toml").read_text().split('containers = ["gateway"]')[1]
    layers = re.findall(r'^  "(\w+)",$', contract.split("\n]\n")[0], re.MULTILINE)
    assert quoted.split(", ") == layers


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_names_each_file_once(walk: str) -> None:
    files = [file for file, _ in NAMED.findall(steps(walk)) if file]
    assert len(files) > 10
    assert sorted(set(files)) == sorted(files)
    assert [file for file in files if not (ROOT / file).is_file()] == []


@pytest.mark.parametrize("walk", WALKS)
def test_a_function_of_a_walk_is_in_a_file_that_was_named_before_it(walk: str) -> None:
    known: set[str] = set()
    unknown = []
    for file, function in NAMED.findall(steps(walk)):
        if file.endswith(".py"):
            known |= defined(ROOT / file)
        elif function and not any(one == function or one.endswith(f".{function}") for one in known):
            unknown.append(function)
    assert unknown == []


def test_a_file_is_named_with_its_folder() -> None:
    """So that it can be looked for, here and by ``tests/test_repository.py``."""
    assert re.findall(r"`(\w+\.(?:py|lua))`", PAGE.replace("`__init__.py`", "")) == []
