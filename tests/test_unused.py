"""What is shipped is used: no function, class or constant is there for the tests only, and no package for nobody."""

from __future__ import annotations

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path

ROOT = Path(__file__).parent.parent
SHIPPED = ("gateway", "providers", "metering")

# What tests compare the outside with, and nothing asks for while serving.
COMPARED = {
    "gateway.catalog.lifecycle.READ": "when the makers' pages were read",
    "gateway.catalog.lifecycle.SOURCES": "and which",
    "providers.tools.catalog.PRICE_PAGES": "where prices of tools are stated",
    "providers.members.openai.PLACES": "decisions that hold the SDK's types (docs/members.md), and so do the next ones",
    "providers.members.openai.KINDS": "",
    "providers.members.openai.EVENTS": "",
    "providers.members.openai.USAGE": "",
    "providers.members.anthropic.KINDS": "",
    "providers.members.anthropic.EVENTS": "",
    "providers.members.anthropic.USAGE": "",
    "providers.members.google.SDK_ONLY": "",
    "providers.members.google.USAGE": "",
}


@cache
def trees() -> dict[str, ast.Module]:
    """Every module of the packages and the benchmarks, by its name."""
    found = {}
    for path in (path for folder in (*SHIPPED, "benchmarks") for path in (ROOT / folder).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = ast.parse(path.read_text())
    return found


def used(own: str, tree: ast.Module) -> Iterator[str]:
    """Full names that a module reads: its own, imported ones, and those of imported modules."""
    imported = {}
    for node in ast.walk(tree):
        match node:
            case ast.ImportFrom(module=str(module)):
                imported |= {one.asname or one.name: f"{module}.{one.name}" for one in node.names}
            case ast.Name(id=name, ctx=ast.Load()):
                yield f"{own}.{name}"
    yield from imported.values()
    for node in ast.walk(tree):
        match node:
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in imported:
                yield f"{imported[name]}.{attribute}"


def defined(own: str, tree: ast.Module) -> Iterator[str]:
    """Functions, classes and constants of a module. A decorated function is its decorator's (a command)."""
    for node in tree.body:
        match node:
            case ast.FunctionDef(decorator_list=[]) | ast.AsyncFunctionDef(decorator_list=[]) | ast.ClassDef():
                yield f"{own}.{node.name}"
            case ast.Assign(targets=[ast.Name(id=name)]) | ast.AnnAssign(target=ast.Name(id=name)) if name != "__all__":
                yield f"{own}.{name}"


def test_nothing_is_defined_that_nothing_reads() -> None:
    read = {name for own, tree in trees().items() for name in used(own, tree)}
    unread = {name for own, tree in trees().items() if own.startswith(SHIPPED) for name in defined(own, tree)} - read
    assert unread == set(COMPARED)


def test_a_text_is_named_once() -> None:
    """Where two modules need the same constant, one of them has it. Texts only: equal numbers mean different things."""
    named: dict[str, list[str]] = {}
    for own, tree in trees().items():
        for node in tree.body if own.startswith(("gateway", "metering")) else ():
            match node:
                case (
                    ast.Assign(targets=[ast.Name()], value=ast.Constant(value=str(text)))
                    | ast.AnnAssign(target=ast.Name(), value=ast.Constant(value=str(text)))
                ) if len(text) > 8:
                    named.setdefault(text, []).append(own)
    assert {text: modules for text, modules in named.items() if len(modules) > 1} == {}


def test_no_method_is_there_that_nothing_calls() -> None:
    """By its name only: which object a method is called on is not known. Callbacks of parsers are called by C code."""
    words = {
        node.attr if isinstance(node, ast.Attribute) else node.value
        for tree in trees().values()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) or (isinstance(node, ast.Constant) and isinstance(node.value, str))
    }
    found = {
        f"{own}.{node.name}.{method.name}"
        for own, tree in trees().items()
        for node in tree.body
        if own.startswith(SHIPPED)
        if isinstance(node, ast.ClassDef) and not node.bases  # a base may call it
        for method in node.body
        if isinstance(method, ast.FunctionDef | ast.AsyncFunctionDef)
        if method.name not in words and not method.name.startswith(("__", "on_"))
    }
    assert found == set()


def test_each_package_that_serving_installs_is_imported_by_what_serves() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    stated = {re.split(r"[^\w.-]", dependency)[0].lower() for dependency in project["dependencies"]}
    modules = set()
    for own, tree in trees().items():
        if own.startswith((*SHIPPED, "benchmarks.simulator")):
            for node in ast.walk(tree):
                match node:
                    case ast.Import():
                        modules |= {one.name.partition(".")[0] for one in node.names}
                    case ast.ImportFrom(module=str(module), level=0):
                        modules.add(module.partition(".")[0])
                    case ast.Call(func=ast.Attribute(attr="find_spec"), args=[ast.Constant(value=str(module))]):
                        modules.add(module)  # the store's program is found by its package
    packages = packages_distributions()
    imported = {name.lower() for module in modules for name in packages.get(module, ())}
    assert stated - imported == set()
