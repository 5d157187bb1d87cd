"""Each act on an account, and the opening of what accounts are kept in, is in one place, which every entrance uses."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]
OPENING = {"gateway/accounts/opening.py"}
ADMINISTRATION = {"gateway/accounts/administration.py"}
ONE_PLACE = {
    "metering.store.store.open_store": OPENING,
    "metering.ledger.ledger.Ledger": OPENING,
    "metering.accounts.identity_map.Accounts": OPENING,
    "gateway.auth.identity.load_key": OPENING,
    "gateway.auth.identity.identity_keys": OPENING,
    "gateway.auth.choice.write": ADMINISTRATION,
    "gateway.auth.entitlements.write": ADMINISTRATION,
    "gateway.auth.entitlements.write_org": ADMINISTRATION,
    "metering.accounts.rights.Rights": ADMINISTRATION,
    "metering.stripe.customers.assign": ADMINISTRATION,
    # The sweeper's own, which has the configured days.
    "metering.accounts.retention.Retention": ADMINISTRATION | {"gateway/process/upkeep.py"},
}


def used(tree: ast.Module) -> Iterator[str]:
    """The full names of what a module uses by an imported name, or through an imported module."""
    names = {
        one.asname or one.name: f"{node.module}.{one.name}"
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
        for one in node.names
    }
    annotations = {id(part) for node in ast.walk(tree) for part in _annotation(node)}
    for node in ast.walk(tree):
        match node:
            case ast.Name(id=name) if name in names and id(node) not in annotations:
                yield names[name]
            case ast.Attribute(value=ast.Name(id=name), attr=attribute) if name in names:
                yield f"{names[name]}.{attribute}"


def _annotation(node: ast.AST) -> Iterator[ast.AST]:
    for stated in (getattr(node, "annotation", None), getattr(node, "returns", None)):
        if stated is not None:
            yield from ast.walk(stated)


def test_an_act_and_an_opening_are_called_in_their_place_only() -> None:
    places: dict[str, set[str]] = {name: set() for name in ONE_PLACE}
    for path in (ROOT / "gateway").rglob("*.py"):
        for name in ONE_PLACE.keys() & set(used(ast.parse(path.read_text()))):
            places[name].add(path.relative_to(ROOT).as_posix())
    assert places == ONE_PLACE


def test_what_accounts_are_kept_in_knows_no_payment_vendor() -> None:
    named = {path.name for path in (ROOT / "metering/accounts").glob("*.py") if "stripe" in path.read_text().lower()}
    assert named == set()
