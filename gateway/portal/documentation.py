"""The documents of this version as pages under ``/docs/``, so that the page at ``/`` can link them.

Rules:

1. A path is looked up in the list of packaged documents, and is never joined to a folder's path.
2. A link to a file that has no page here is shown as text.
3. A page is rendered at its first request, in a thread: a long one takes about 20 ms.
"""

from __future__ import annotations

import asyncio
import posixpath
import re
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Final

from aiohttp import web

from gateway.errors import NotFound
from gateway.portal.page import HEADERS, page, see_other
from gateway.portal.paths import DOCUMENTS, LANDING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from markdown_it.token import Token

INDEX: Final = "README.md"
_HERE: Final = Path(__file__).parent
_FOLDERS: Final = (_HERE / "documentation", _HERE.parents[1] / "docs")
"""Where they are: in an installed package (pyproject.toml puts them there), and in a checkout."""
_NOT_IN_ANCHORS: Final = re.compile(r"[^\w\- ]")

_NO_DOCUMENT: Final = "There is no such document. /docs/ lists them."


async def document(path: str, rid: str) -> web.Response:
    """The page of a document, or a picture in one; the index at ``/docs/``. Raises `NotFound`."""
    if path == DOCUMENTS.rstrip("/"):
        return see_other(DOCUMENTS)
    name = path.removeprefix(DOCUMENTS) or INDEX
    headers = {**HEADERS, "Cache-Control": "max-age=300", "x-request-id": rid}
    if name in _pictures():
        return web.Response(body=_pictures()[name], content_type="image/svg+xml", headers=headers)
    if name not in documents():
        raise NotFound(_NO_DOCUMENT)
    text = await asyncio.to_thread(_page, name)
    return web.Response(text=text, content_type="text/html", charset="utf-8", headers=headers)


@cache
def documents() -> Mapping[str, Path]:
    """The packaged documents, by their names under ``/docs/``."""
    return {name: path for name, path in _packaged().items() if path.suffix == ".md"}


@cache
def _pictures() -> Mapping[str, bytes]:
    return {name: path.read_bytes() for name, path in _packaged().items() if path.suffix == ".svg"}


@cache
def _packaged() -> Mapping[str, Path]:
    folder = next((folder for folder in _FOLDERS if (folder / INDEX).is_file()), None)
    return {} if folder is None else {path.relative_to(folder).as_posix(): path for path in folder.rglob("*.*")}


@cache
def _page(name: str) -> str:
    from markdown_it import MarkdownIt  # noqa: PLC0415 - most workers never show a document

    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(documents()[name].read_text(encoding="utf-8"))
    title = name
    for token, inside in pairwise(tokens):
        token.attrs.pop("style", None)  # the content security policy allows none
        if token.type == "heading_open":
            token.attrs["id"] = _anchor(inside.content)
            title = inside.content.replace("`", "") if token.tag == "h1" else title
        if token.children is not None:
            token.children = _linked(token.children, name)
    back = "" if name == INDEX else f'<p><a href="{DOCUMENTS}">Documentation</a></p>'
    body = parser.renderer.render(tokens, parser.options, {})
    return page(title, f'{back}<div class="document">{body}</div>', development=False, home=LANDING)


def _anchor(heading: str) -> str:
    """The name by which documents link a heading, as code hosts make it."""
    return _NOT_IN_ANCHORS.sub("", heading.lower()).replace(" ", "-")


def _linked(children: Sequence[Token], name: str) -> list[Token]:
    """The parts of a line, without links that lead nowhere here."""
    kept: list[Token] = []
    dropped = False
    for child in children:
        if child.type == "link_open":
            dropped = not _leads_somewhere(str(child.attrs["href"]), name)
        if not (dropped and child.type in ("link_open", "link_close")):
            kept.append(child)
    return kept


def _leads_somewhere(to: str, name: str) -> bool:
    path = to.partition("#")[0]
    if not path or "://" in path:
        return True
    return posixpath.normpath(posixpath.join(posixpath.dirname(name), path)) in documents()


def described() -> tuple[str, str, str] | None:
    """Address, name and meaning of the index, if this package has documents."""
    if INDEX not in documents():
        return None
    return DOCUMENTS, "Documentation", "Connecting tools, errors, limits, privacy, operation."
