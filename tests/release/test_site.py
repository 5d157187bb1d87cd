"""The documentation as a site: it is whole, requests nothing from elsewhere, and its search finds words."""

from __future__ import annotations

from pathlib import Path

import pytest

from release.site import build, check, linked, places
from tests.portal_browser import launched


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("docs")
    assert build(folder) == []
    return folder / "site"


def test_each_document_is_a_page_and_both_apis_are_files(site: Path) -> None:
    for name in places().values():
        assert (site / name).with_suffix(".html" if name.endswith(".md") else Path(name).suffix).is_file(), name
    assert (site / "files/openapi-public.json").is_file()
    assert (site / "files/openapi-internal.json").is_file()


def test_a_link_to_a_page_fits_the_site_and_another_becomes_text() -> None:
    text = "[a](../README.md#errors) [b](../pyproject.toml) [c](https://e.example/x) ![d](concepts.svg)\n```sh\n[e](x)\n```\n"
    assert linked(text, "docs/ide.md", places()) == (
        "[a](project/readme.md#errors) b [c](https://e.example/x) ![d](concepts.svg)\n```sh\n[e](x)\n```\n"
    )


def test_code_in_a_table_is_shown_without_the_backslash_of_its_bar() -> None:
    row = "| `--mode cloud\\|local <X>` | `a` |\n"
    assert linked(row, "README.md", places()) == "| <code>--mode cloud&#124;local &lt;X&gt;</code> | `a` |\n"


def test_a_fault_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<script src="https://e.example/a.js"></script><a href="b.html">b</a><a href="#no">c</a><a href="a.html">d</a>'
    )
    assert list(check(tmp_path)) == [
        "a.html: requests https://e.example/a.js",
        "a.html: b.html leads nowhere",
        "a.html: #no has no such anchor",
    ]


def test_its_search_finds_a_word_in_a_browser_that_has_only_the_files(site: Path) -> None:
    with launched() as browser:
        page = browser.new_context().new_page()
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto((site / "index.html").as_uri())
        page.wait_for_load_state("load")
        page.get_by_role("button", name="Search").first.click()
        page.keyboard.type("orphan")
        page.get_by_text("Usage and money").first.wait_for()
        assert asked
        assert [address for address in asked if not address.startswith(("file:", "blob:", "data:"))] == []
