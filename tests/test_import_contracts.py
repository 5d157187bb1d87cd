"""The import contracts of pyproject.toml, with their control: imports that break them are found; the tests keep to them."""

from __future__ import annotations

import ast
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
DIALECTS = {"openai", "anthropic", "gemini"}

# What may not import what: each of these breaks a contract, and each contract is broken by one of these.
PLANTED = (
    ("providers/openai/chat.py", "providers.wires"),
    ("providers/gemini/reader.py", "providers.conversation.translator"),
    ("providers/anthropic/failure.py", "providers.openai.failure"),
    ("providers/answers/sniff.py", "providers.gemini.answer"),
    ("providers/document/look.py", "providers.weight.text"),
    ("providers/dialect.py", "metering.pricing"),
    ("metering/usage.py", "providers.dialect"),
    ("metering/ledger/records.py", "metering.stripe.customers"),
    ("gateway/errors.py", "openai"),
    ("gateway/config/server.py", "gateway.catalog.catalog"),
    ("gateway/local/broker.py", "gateway.upstream.pool"),
)


def test_an_import_against_a_contract_breaks_it(tmp_path):
    for package in ("gateway", "providers", "metering", "benchmarks"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for path, module in PLANTED:
        with (tmp_path / path).open("a") as source:
            source.write(f"\nimport {module}\n")
    lint = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run(
        [lint, "--no-cache"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1, done.stderr
    for path, module in PLANTED:
        assert f"{path.removesuffix('.py').replace('/', '.')} -> {module} " in done.stdout, (path, module)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    assert [contract["name"] for contract in contracts if f"{contract['name']} BROKEN" not in done.stdout] == []


def dialects_of(path: Path) -> set[str]:
    """The dialects whose modules a test imports."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        modules = [node.module] if isinstance(node, ast.ImportFrom) and node.module else []
        modules += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
        found |= {name for module in modules for name in re.findall(r"^(?:tests\.)?providers\.(\w+)", module)}
    return found & DIALECTS


def test_a_test_of_a_dialect_knows_no_other_one():
    folder = ROOT / "tests/providers"
    tests = [path for path in folder.rglob("*.py") if path.parent != folder]  # those beside it are of the tables
    assert len(tests) > 50
    for path in tests:
        own = {path.relative_to(folder).parts[0]} & DIALECTS
        # What the dialects share is shown on one of them, or through the tables.
        assert dialects_of(path) <= own or (not own and len(dialects_of(path)) == 1), path
