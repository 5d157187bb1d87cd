"""The register of members: what is decided about each member of a request, looked up and carried out.

Rules that everything here obeys:

1. Every member that an SDK knows has a decision in the tables beside this module, and the code acts on them: a name
   that is decided there is named nowhere else but where the decision needs code of its own (``store``, ``fallbacks``).
2. What no table knows is not trusted: as a string or an object it can name or keep something, and falls to
   ``policy.unknown_members``. Numbers, flags and lists pass; a provider refuses what it does not know either.
3. No name of a client's leaves this process: what is told of a removed member is its name in a table, or a count.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable, Iterator, Mapping
from functools import partial
from typing import Final

from providers.dialect import Family, Operation, Refusal, Target
from providers.document.members import Members, given, is_object, is_string, read_nested
from providers.document.splice import Edits
from providers.document.strings import quoted, snake
from providers.members import anthropic, deep, google, openai
from providers.members.decision import Decision, Examined, Member, Table
from providers.steps import Steps

SPELLED: Final = (
    "A member of the request is spelled like one of the API's but for its case or its kind of letters, and readers of "
    "JSON differ in whether both are the same: write it as the API does."
)

_LONGEST: Final = 64  # longer than any name of an API
_NOTHING: Final = Examined()
_FALSY: Final = frozenset((b"null", b"false", b'""', b"[]"))


def _both_spellings(table: Table) -> dict[str, Member]:
    both: dict[str, Member] = {}
    for name, member in table.items():
        if member.inside is not None:
            member = Member(  # noqa: PLW2901 - the same decision, spelled
                member.decision, member.why, _both_spellings(member.inside), closed=member.closed
            )
        both[name] = both[snake(name)] = member
    return both


REGISTER: Final[Mapping[Operation, Table]] = {
    Operation.OPENAI_CHAT: {**openai.HOSTS, **openai.CHAT},
    Operation.OPENAI_COMPLETIONS: {**openai.HOSTS, **openai.COMPLETIONS},
    Operation.OPENAI_EMBEDDINGS: {**openai.HOSTS, **openai.EMBEDDINGS},
    Operation.OPENAI_RESPONSES: {**openai.HOSTS, **openai.RESPONSES},
    Operation.OPENAI_COMPACT: {**openai.HOSTS, **openai.COMPACT},
    Operation.OPENAI_INPUT_TOKENS: {**openai.HOSTS, **openai.INPUT_TOKENS},
    Operation.ANTHROPIC_MESSAGES: anthropic.MESSAGES,
    Operation.ANTHROPIC_COUNT_TOKENS: anthropic.COUNT_TOKENS,
    Operation.GEMINI_GENERATE: _both_spellings(google.GENERATE),
    Operation.GEMINI_STREAM: _both_spellings(google.GENERATE),
    Operation.GEMINI_COUNT_TOKENS: _both_spellings(google.COUNT_TOKENS),
    Operation.GEMINI_EMBED: _both_spellings(google.EMBED),
    Operation.GEMINI_BATCH_EMBED: _both_spellings(google.BATCH_EMBED),
}
"""What is decided at the top level of each operation's request, and in the objects there."""


def _folded(name: str) -> str:
    """What readers that fold case make of a name: those of protobuf and of Go do, also beyond ASCII."""
    return unicodedata.normalize("NFKC", name).casefold()


def _tables(table: Table) -> Iterator[Table]:
    yield table
    for member in table.values():
        if member.inside is not None:
            yield from _tables(member.inside)


_FOLDED: Final = {id(table): frozenset(map(_folded, table)) for whole in REGISTER.values() for table in _tables(whole)}
"""The names of each table as readers that fold case make them."""


class _Search:
    """Collects what one request holds that does not pass as it is."""

    __slots__ = ("cached", "pseudonyms", "removed", "unknown", "unlisted")

    def __init__(self) -> None:
        self.removed: list[tuple[str, ...]] = []
        self.unlisted: list[tuple[str, ...]] = []
        self.pseudonyms: list[tuple[str, ...]] = []
        self.cached: list[tuple[str, ...]] = []
        self.unknown: list[tuple[str, ...]] = []

    def look(self, table: Table, members: Members, path: tuple[str, ...], *, closed: bool = False) -> None:
        for name, raw in members.raws.items():
            member = table.get(name)
            if member is None:
                if len(name) < _LONGEST and _folded(name) in _FOLDED[id(table)]:
                    raise Refusal("invalid_request", SPELLED)
                if closed:
                    self.unlisted.append((*path, name))
                elif is_string(raw) or is_object(raw):
                    self.unknown.append((*path, name))
                continue
            decision = member.decision
            if decision is Decision.PASS:
                if member.inside is not None and (nested := read_nested(members, name)) is not None:
                    self.look(member.inside, nested, (*path, name), closed=member.closed)
            elif decision is Decision.STRIP:
                self.removed.append((*path, name))
            elif decision is Decision.PSEUDONYM:
                if given(raw):
                    self.pseudonyms.append((*path, name))
            elif decision is Decision.REFUSE:
                if len(raw) > 5 or bytes(raw) not in _FALSY:
                    raise Refusal(member.code, member.why, name)
            elif member.usual and bytes(raw) not in member.usual:
                if decision is Decision.MODEL:
                    raise Refusal(member.code, member.why, name)
                self.cached.append((*path, name))


def examine(operation: Operation, members: Members, body: bytes) -> Steps[Examined]:
    """What of a request does not pass as it is.

    Raises:
        Refusal: It has a member that is refused, or an object that is looked into names one twice.
    """
    search = _Search()
    search.look(REGISTER[operation], members, ())
    yield
    hidden = yield from deep.may_hold(operation.family, body)
    if not (hidden or search.removed or search.unlisted or search.pseudonyms or search.cached or search.unknown):
        return _NOTHING
    return Examined(
        tuple(search.removed),
        tuple(search.unlisted),
        tuple(search.pseudonyms),
        tuple(search.cached),
        tuple(search.unknown),
        hidden,
    )


def edit(edits: Edits, family: Family, found: Examined, target: Target) -> Steps[None]:
    """Carry out what was decided, for one target."""
    if found.deep:
        yield from deep.clean(family, edits, extended_cache=target.extended_cache)
    gone = removed(found, extended_cache=target.extended_cache, strip_unknown=target.strip_unknown)
    if target.pseudonym:
        _apply(edits, gone, None)
        _apply(edits, found.pseudonyms, quoted(target.pseudonym))
    else:
        _apply(edits, (*gone, *found.pseudonyms), None)


def removed(found: Examined, *, extended_cache: bool, strip_unknown: bool) -> Iterable[tuple[str, ...]]:
    """The paths that a provider does not get."""
    yield from found.removed
    yield from found.unlisted
    if not extended_cache:
        yield from found.cached
    if strip_unknown:
        yield from found.unknown


def told(found: Examined, *, extended_cache: bool, strip_unknown: bool, betas: int = 0) -> str:
    """What was removed, for the caller: names of the register's own and a count of the others; may be empty.

    ``betas``: how many of the request no table knows.
    """
    if found is _NOTHING and not betas:
        return ""
    names = [".".join(path) for path in found.removed]
    if not extended_cache:
        names += [".".join(path) for path in found.cached]
    others = len(found.unlisted) + (len(found.unknown) + betas if strip_unknown else 0)
    return ", ".join([*names, f"{others} unknown"] if others else names)


def _apply(edits: Edits, paths: Iterable[tuple[str, ...]], value: bytes | None) -> None:
    """Replace what is at these paths, or remove it. An object is taken apart once, however many of them are in it."""
    inside: dict[str, list[tuple[str, ...]]] = {}
    for path in paths:
        if len(path) > 1:
            inside.setdefault(path[0], []).append(path[1:])
        elif value is None:
            edits.remove(path[0])
        else:
            edits.replace(path[0], value)
    for name, rest in inside.items():
        edits.edit_object(name, partial(_apply, paths=rest, value=value))
