"""The documents as pages: all of them, with links that lead somewhere, and nothing beside them."""

from __future__ import annotations

import asyncio
import posixpath
import re
import tomllib

import pytest
from aiohttp import web

from gateway.api.routes import OwnRoute, Part, find
from gateway.errors import NotFound
from gateway.portal.documentation import INDEX, document, documents
from gateway.portal.landing import METHODS
from tests.agents.bench import ROOT

RID = "req_" + "a" * 32


def asked(path: str) -> web.Response:
    return asyncio.run(document(path, RID))


def text(name: str) -> str:
    return asked(f"/docs/{name}").text or ""


def test_the_index_is_at_the_folder() -> None:
    assert asked("/docs/").text == text(INDEX)
    assert asked("/docs").headers["Location"] == "/docs/"


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/docs/agents.md", "/docs/nothing"])
def test_its_paths_are_the_gateway_s_own(path: str) -> None:
    assert find(path, {}) == OwnRoute(Part.DOCUMENT, METHODS)
    assert find("/docsx", {}) is None


@pytest.mark.parametrize(
    "name", ["nothing.md", "../README.md", "%2e%2e/README.md", "/etc/passwd", "operations", "operations/", ".", "\0"]
)
def test_what_is_no_document_is_not_found(name: str) -> None:
    with pytest.raises(NotFound):
        asked(f"/docs/{name}")


def test_every_document_is_a_page_whose_links_lead_somewhere() -> None:
    assert {"agents.md", "operations/running.md", "decisions/010-model-lists.md"} < set(documents())
    pages = {name: text(name) for name in documents()}
    for name, page in pages.items():
        assert "<h1" in page, name
        assert "style=" not in page, name
        assert "<p>|" not in page, f"{name}: a table is not read as one"
        body = page.partition('<div class="document">')[2]
        for link in re.findall(r'<a href="([^"]*)"', body):
            if "://" in link:
                continue
            path, _, anchor = link.partition("#")
            to = posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) if path else name
            assert to in pages, f"{name}: {link}"
            assert not anchor or f'id="{anchor}"' in pages[to], f"{name}: {link}"


def test_a_picture_is_served_to_the_page_that_shows_it() -> None:
    for name in documents():
        for link in re.findall(r'<img src="([^"]*)"', text(name)):
            to = posixpath.normpath(posixpath.join(posixpath.dirname(name), link))
            picture = asked(f"/docs/{to}")
            assert picture.content_type == "image/svg+xml", f"{name}: {link}"
            assert isinstance(picture.body, bytes)
            assert picture.body.startswith(b"<svg ")
    assert '<img src="concepts.svg"' in text("concepts.md")


def test_an_installed_package_has_them() -> None:
    """A wheel takes them from the folder that a checkout has them in."""
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    assert wheel["force-include"] == {"docs": "gateway/portal/documentation"}
    assert (ROOT / "docs" / INDEX).is_file()
