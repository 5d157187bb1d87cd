"""``make docs``: the documentation as a site in ``build/site``, from the same Markdown files that are read without it.

Rules:

1. The pages are the files of ``docs/`` and the four documents beside it, unchanged but for links: a link to a page
   leads to its page of the site, a link to another file of the repository becomes text.
2. A built page requests nothing from another host, and search works from the files alone.
3. A document that is not in the navigation, and a link whose anchor does not exist, is an error.
"""

from __future__ import annotations

import posixpath
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from html import escape
from html.parser import HTMLParser
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import orjson

from gateway.api.openapi import document as data_plane
from gateway.internal.openapi import document as internal
from gateway.internal.operations import OPERATIONS

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build"

BESIDE: Final = {
    "README.md": "project/readme.md",
    "CHANGELOG.md": "project/changelog.md",
    "CONTRIBUTING.md": "project/contributing.md",
    "SECURITY.md": "project/security.md",
    "docs/README.md": "index.md",
    "docs/decisions": "decisions/index.md",
    "gateway.example.toml": "files/gateway.example.toml",
    "LICENSE": "files/LICENSE.txt",
}
"""Files of the repository whose page of the site has another name than in ``docs/``."""

_DECISIONS: Final = ("decisions/index.md",)  # and all that are beside it

NAVIGATION: Final[tuple[tuple[str, str | tuple[str, ...]], ...]] = (
    ("Documentation", "index.md"),
    ("Five-minute start", "start.md"),
    ("Concepts", ("concepts.md", "glossary.md", "architecture.md")),
    (
        "IDEs",
        ("ide.md", "identity.md", "limits.md", "members.md", "translation.md", "secrets.md", "local-mode.md"),
    ),
    ("Agents", "agents.md"),
    ("Billing", "billing.md"),
    ("Privacy", ("privacy.md", "threat-model.md", "privacy-tests.md")),
    (
        "Operations",
        (
            "operations/running.md",
            "operations/deploying.md",
            "operations/runbook.md",
            "operations/metrics.md",
            "operations/tracing.md",
            "operations/failures.md",
            "operations/releasing.md",
            "configuration.md",
        ),
    ),
    ("Reference", ("reference/api.md", "reference/internal-api.md", "reference/configuration.md")),
    ("Performance", ("performance.md", "performance-tried.md")),
    ("Decisions", _DECISIONS),
    ("Project", ("project/readme.md", "project/contributing.md", "project/security.md", "project/changelog.md")),
)
"""Title, and the page or pages under it."""

_SHIM: Final = "https://unpkg.com/iframe-worker/shim"
_LINK: Final = re.compile(r"(?P<image>!?)\[(?P<text>(?:[^\[\]]|\[[^\[\]]*\])*)\]\((?P<to>[^()\s]+)\)")
_BAR: Final = re.compile(r"`([^`\n]*\\\|[^`\n]*)`")
_HEADING: Final = re.compile(r"^# (.+)$", re.MULTILINE)


def build(folder: Path) -> list[str]:
    """Build the site in ``folder/site``; what is wrong with it, a line each. Raises `SystemExit` if that fails."""
    pages = stage(folder / "pages")
    configuration = folder / "zensical.toml"
    configuration.write_text(configured(folder / "pages", pages))
    site = folder / "site"
    shutil.rmtree(site, ignore_errors=True)
    program = [sys.executable, "-m", "zensical", "build", "--clean", "--config-file", str(configuration)]
    if subprocess.run(program, cwd=folder, check=False).returncode != 0:
        sys.exit("error: zensical could not build the site; its message is above")
    localize(site)
    return list(check(site))


def places() -> dict[str, str]:
    """Files of the repository that are in the site, and folders with a page, to their paths there."""
    pages = {
        f"docs/{path.relative_to(ROOT / 'docs').as_posix()}": path.relative_to(ROOT / "docs").as_posix()
        for path in sorted((ROOT / "docs").rglob("*"))
        if path.suffix in (".md", ".svg", ".png")
    }
    return pages | BESIDE


def stage(folder: Path) -> list[str]:
    """Write the pages with their links; their paths in the site."""
    shutil.rmtree(folder, ignore_errors=True)
    known = places()
    for source, name in known.items():
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if (ROOT / source).is_dir():
            target.write_text(decisions())
        elif name.endswith(".md"):
            target.write_text(linked((ROOT / source).read_text(), source, known))
        else:
            shutil.copyfile(ROOT / source, target)
    documents = {"public": data_plane(), "internal": internal(OPERATIONS)}
    for name, document in documents.items():
        (folder / f"files/openapi-{name}.json").write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    return sorted(name for name in known.values() if name.endswith(".md"))


def decisions() -> str:
    """The page of all decisions."""
    found = sorted((ROOT / "docs/decisions").glob("*.md"))
    listed = (f"- [{title(path.read_text())}]({path.name})\n" for path in found)
    return "# Decisions\n\nThe reasons for design decisions: context, decision, consequence.\n\n" + "".join(listed)


def title(text: str) -> str:
    """A page's heading."""
    found = _HEADING.search(text)
    assert found is not None
    return found[1].replace("`", "")


def linked(text: str, source: str, known: dict[str, str]) -> str:
    """A document whose links fit the site. Blocks of code stay as they are."""
    here = posixpath.dirname(known[source])

    def to_site(link: re.Match[str]) -> str:
        to, _, anchor = link["to"].partition("#")
        if "://" in to or not to:
            return link[0]
        path = known.get(posixpath.normpath(posixpath.join(posixpath.dirname(source), to)))
        if path is None:
            return link["text"]
        there = posixpath.relpath(path, here or ".") + (f"#{anchor}" if anchor else "")
        return f"{link['image']}[{link['text']}]({there})"

    parts = re.split(r"(^```.*?^```$)", text, flags=re.MULTILINE | re.DOTALL)
    return "".join(part if part.startswith("```") else _LINK.sub(to_site, _bars(part)) for part in parts)


def _bars(text: str) -> str:
    """Code with an escaped bar, which the generator would show with its backslash, as HTML."""
    return _BAR.sub(lambda code: f"<code>{escape(code[1]).replace(chr(92) + '|', '&#124;')}</code>", text)


def configured(folder: Path, pages: list[str]) -> str:
    """The settings of the generator, with the whole navigation. Raises `SystemExit` if a page is not in it."""
    left = dict.fromkeys(pages)

    def entry(name: str, page: str) -> str:
        left.pop(page)
        return f"{{{_text(name)} = {_text(page)}}}"

    def named(page: str) -> str:
        return entry(title((folder / page).read_text()), page)

    entries = []
    for name, under in NAVIGATION:
        if isinstance(under, str):
            entries.append(entry(name, under))
            continue
        group = [page for page in pages if posixpath.dirname(page) == "decisions"] if under == _DECISIONS else under
        entries.append(f"{{{_text(name)} = [{', '.join(map(named, group))}]}}")
    if left:
        sys.exit(f"error: not in the navigation of {__name__}: {', '.join(left)}")
    nav = ",\n  ".join(entries)
    return _SETTINGS.format(nav=nav)


def _text(value: str) -> str:
    return orjson.dumps(value).decode()


_SETTINGS: Final = """\
[project]
site_name = "CodeGrex gateway"
site_description = "A gateway between an AI IDE and its model providers that meters exactly and keeps no content."
docs_dir = "pages"
site_dir = "site"
use_directory_urls = false
nav = [
  {nav},
]

[project.theme]
font = false
features = ["navigation.indexes", "navigation.top", "search.highlight", "content.code.copy"]

[project.plugins.search]

[project.plugins.offline]

[project.markdown_extensions.tables]

[project.markdown_extensions.toc]
permalink = true
slugify = {{ object = "pymdownx.slugs.slugify", kwds = {{ case = "lower" }} }}
"""


def localize(site: Path) -> None:
    """Bring the one script that the generator leaves at another host."""
    script = site / "assets/iframe-worker.js"
    shutil.copyfile(Path(__file__).parent / "iframe-worker.js", script)
    for path in site.rglob("*.html"):
        there = posixpath.relpath(script.as_posix(), path.parent.as_posix())
        path.write_text(path.read_text().replace(_SHIM, there))


class _Page(HTMLParser):
    """The anchors of a page, its links, and what it requests by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.requested: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if given.get("id"):
            self.anchors.add(str(given["id"]))
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        elif tag == "link" and "canonical" not in (given.get("rel") or ""):
            self.requested.append(given.get("href") or "")
        elif given.get("src"):
            self.requested.append(str(given["src"]))


def check(site: Path) -> Iterator[str]:
    """What is wrong with the built pages: links and anchors that lead nowhere, requests to another host."""
    pages: dict[Path, _Page] = {}
    for path in sorted(site.rglob("*.html")):
        page = pages[path] = _Page()
        page.feed(path.read_text())
    for path, page in pages.items():
        name = path.relative_to(site)
        for request in page.requested:
            parts = urlsplit(request)
            if parts.netloc:
                yield f"{name}: requests {request}"
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            folder = site if parts.path.startswith("/") else path.parent  # the page for unknown paths
            to = (folder / parts.path.lstrip("/")).resolve() if parts.path else path
            if not to.exists():
                yield f"{name}: {link} leads nowhere"
            elif parts.fragment and to in pages and parts.fragment not in pages[to].anchors:
                yield f"{name}: {link} has no such anchor"


def main() -> None:
    faults = build(BUILD)
    if faults:
        sys.exit("\n".join(("error: the site has faults:", *faults)))
    print(f"{BUILD}/site/index.html")


if __name__ == "__main__":
    main()
