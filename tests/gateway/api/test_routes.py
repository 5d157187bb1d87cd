"""The table of the gateway's own paths: what is in it, in which spellings it is found, and that it is written once."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.api.routes import TABLE, OwnRoute, Part, find
from gateway.http.resources import Resource
from gateway.oauth import paths as oauth
from gateway.portal.account import ACTS
from gateway.portal.paths import PagePath
from providers import paths as providers_paths
from providers.dialect import Family
from providers.paths import PathFault, resolve

ROOT = Path(__file__).parents[3]
RID = "req_" + "a" * 32
ACCOUNT = OwnRoute(Part.ACCOUNT, ("GET",))
TOKENS = ["Authorization", "x-api-key", "x-goog-api-key"]


@pytest.mark.parametrize("path", PagePath)
def test_every_path_of_the_portal_is_found_only_as_written(path: str) -> None:
    asset = path in (PagePath.STYLE, PagePath.SCRIPT)
    assert find(path, {}) == (OwnRoute(Part.ASSET, ("GET", "HEAD")) if asset else OwnRoute(Part.PORTAL))
    assert find(path + "/", {"Authorization": ""}) == (ACCOUNT if path == PagePath.ACCOUNT else None)
    assert find("/v1" + path, {}) == (ACCOUNT if path == PagePath.ACCOUNT else None)


@pytest.mark.parametrize(
    "path", [oauth.DEVICE_AUTHORIZATION, oauth.TOKEN, oauth.REVOCATION, oauth.METADATA, "/oauth/", "/oauth/x"]
)
def test_sign_in_is_found_with_every_path_under_its_prefix(path: str) -> None:
    assert find(path, {}) == OwnRoute(Part.OAUTH)
    assert find("/" + path, {}) is None


def test_the_page_about_the_gateway_is_the_root_and_nothing_else() -> None:
    assert find("/", {}) == OwnRoute(Part.LANDING, ("GET", "HEAD"))
    assert find("/", {"Authorization": "x"}) == OwnRoute(Part.LANDING, ("GET", "HEAD"))


@pytest.mark.parametrize(
    ("path", "family"),
    [
        ("/v1/account", None),
        (f"/v1/requests/{RID}", None),
        ("/.well-known/ai-privacy", None),
        ("/device", None),
        ("/nothing", Family.OPENAI),
        ("/v1/nothing", Family.OPENAI),
        ("/v1/messages/nothing", Family.ANTHROPIC),
        ("/v1beta/nothing", Family.GOOGLE),
    ],
)
def test_whose_form_an_error_has(path: str, family: Family | None) -> None:
    found = find(path, {}) or resolve("GET", path, None)
    assert found.family is family


@pytest.mark.parametrize("header", TOKENS)
def test_with_a_token_the_account_is_the_apis(header: str) -> None:
    assert find("/account", {header: "x"}) == ACCOUNT
    assert find("/account/revoke", {header: "x"}) == OwnRoute(Part.PORTAL)


@pytest.mark.parametrize("prefix", ["/v1", "/v1/v1", "//v1/", "/%761", "/v1//v1"])
@pytest.mark.parametrize("slash", ["", "/", "//"])
def test_an_accounts_resources_are_found_in_every_spelling(prefix: str, slash: str) -> None:
    assert find(f"{prefix}/account{slash}", {}) == ACCOUNT
    assert find(f"{prefix}/%61ccount{slash}", {}) == ACCOUNT
    if slash != "//":  # one slash is taken from the end, what is empty after it names no request
        assert find(f"{prefix}/requests/{RID}{slash}", {}) == OwnRoute(Part.USAGE_RECORD, ("GET",), RID)
        assert find(f"{prefix}/%72equests/{RID}{slash}", {}) == OwnRoute(Part.USAGE_RECORD, ("GET",), RID)


@pytest.mark.parametrize("path", [f"/requests/{RID}", f"/v1beta/requests/{RID}", f"/v1/v1beta/requests/{RID}"])
def test_a_record_is_found_under_every_base_url(path: str) -> None:
    assert find(path, {}) == OwnRoute(Part.USAGE_RECORD, ("GET",), RID)


@pytest.mark.parametrize(
    "path",
    ["", "//", "/v1", "/v1/", "/index.html", "*", "/v1/chat/completions", "/v1/responses", "/v1/models/account", "/v1/models/requests/x", "/v1/requests", "/v1/requests/",
     "/v1/requests/a/b", "/v1/accounts", "/v1/account/revoke", "/v1beta/account", "/v1alpha/requests/x", "/upload/requests/x", "/v1.5/account",
     "/oauth", "/portal", "/portal/", "/portal/none", "/devices", "/.well-known/none", "/v1/requests/%ff", "/v1beta/models/requests:generateContent"],
)  # fmt: skip
def test_everything_else_is_a_providers(path: str) -> None:
    assert find(path, {}) is None


@given(st.text("/v1betaoucnqrsd%62:.-_", max_size=30))
def test_any_path_is_the_gateways_or_a_providers(path: str) -> None:
    own = find("/" + path, {})
    if own is not None:
        for method in ("GET", "POST"):
            fault = resolve(method, "/" + path)
            assert isinstance(fault, PathFault)  # never both
            assert fault.status == 404


def test_no_own_path_is_a_providers() -> None:
    for path in [
        *TABLE,
        *(prefix + resource + "x" * (resource[-1] == "/") for resource in Resource for prefix in ("", "/v1")),
    ]:
        for method in ("GET", "POST"):
            for hint in (None, *Family):
                assert isinstance(resolve(method, path, hint), PathFault), path


def _texts(path: Path) -> Iterator[str]:
    """The texts of a module that are not docstrings."""
    tree = ast.parse(path.read_text())
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in documentation:
            yield node.value


def test_each_path_is_written_once() -> None:
    """In the module of the part that answers it; its forms, links, redirects, scripts and clients take it from there."""
    own = sorted({*TABLE, *Resource}, key=len, reverse=True)
    pattern = re.compile(rf"(?<![\w-])(?:{'|'.join(map(re.escape, own))})(?![\w/-])")
    found: dict[str, list[str]] = {}
    for path in sorted((ROOT / "gateway").rglob("*")):
        if path.suffix not in {".py", ".js", ".css"} or path.is_relative_to(
            ROOT / "gateway/internal"
        ):  # a listener of its own
            continue
        for text in _texts(path) if path.suffix == ".py" else [path.read_text()]:
            for path_written in pattern.findall(text):
                found.setdefault(path_written, []).append(str(path.relative_to(ROOT)))
    again = {name: where for name, where in found.items() if len(where) > 1}
    # The page and the resource differ in all but the name.
    assert again == {"/account": ["gateway/http/resources.py", "gateway/portal/paths.py"]}
    assert len(found) > len(PagePath)


def test_providers_paths_know_none_of_them() -> None:
    text = Path(providers_paths.__file__).read_text()
    assert not [path for path in (*TABLE, *Resource) if f'"{path}' in text]


def test_every_form_has_an_act() -> None:
    forms = {path for path in PagePath if path.startswith("/account/")}
    assert set(ACTS) == forms
