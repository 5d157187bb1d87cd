"""The register of members: looks up and carries out the decision about each member of a request.

Rules that everything here obeys:

1. Every member that an SDK knows has a decision in the tables of this folder, and the code acts on them. Other code
   names such a member only if its decision needs code of its own (``store``, ``fallbacks``).
2. A member in no table is not trusted: a string or an object can name or keep something, and
   ``policy.unknown_members`` decides about it. Numbers, flags and lists pass; the provider refuses them if it does not
   know them.
3. No name that a client chose leaves this process: a removed member is reported by its name in a table, or in a count.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from functools import partial
from typing import Final

import msgspec

from providers.dialect import Examined, Family, Operation, Refusal, Target
from providers.document.members import Members, decode_text, given, is_object, is_string, read_nested
from providers.document.splice import Edits
from providers.document.strings import folded, quoted, snake
from providers.members import anthropic, deep, google, openai
from providers.members.decision import Decision, Member, Table
from providers.steps import Steps

SPELLED: Final = (
    "The name of a member differs from one of the API's only by case or kind of letters, and JSON parsers differ in "
    "whether the two are the same: write it as the API does."
)
NO_OBJECT: Final = "This member must be an object."

_LONGEST: Final = 64  # longer than any name in an API
_LONGEST_KEY: Final = 4_096  # bytes of JSON that are hashed; the API takes 64 characters
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
    Operation.OPENAI_FILL_IN: {**openai.HOSTS, **openai.COMPLETIONS},
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
"""The decisions for the top level of each operation's request, and for objects in it."""


def tables_of(table: Table) -> Iterator[Table]:
    """The table and all tables inside it."""
    yield table
    for member in table.values():
        if member.inside is not None:
            yield from tables_of(member.inside)


_FOLDED: Final = {id(table): frozenset(map(folded, table)) for whole in REGISTER.values() for table in tables_of(whole)}
"""The names of each table after case folding."""


class _Search:
    """Collects the members of one request that are not sent unchanged."""

    __slots__ = ("cache_keys", "cached", "pseudonyms", "removed", "unknown", "unlisted")

    def __init__(self) -> None:
        self.removed: list[tuple[str, ...]] = []
        self.unlisted: list[tuple[str, ...]] = []
        self.pseudonyms: list[tuple[str, ...]] = []
        self.cache_keys: list[str] = []
        self.cached: list[tuple[str, ...]] = []
        self.unknown: list[tuple[str, ...]] = []

    def look(self, table: Table, members: Members, path: tuple[str, ...], *, closed: bool = False) -> None:
        for name, raw in members.raws.items():
            member = table.get(name)
            if member is None:
                if len(name) < _LONGEST and folded(name) in _FOLDED[id(table)]:
                    raise Refusal("invalid_request", SPELLED)
                if closed:
                    self.unlisted.append((*path, name))
                elif is_string(raw) or is_object(raw):
                    self.unknown.append((*path, name))
                continue
            decision = member.decision
            if decision is Decision.PASS:
                if member.inside is not None and given(raw):
                    nested = read_nested(members, name)
                    if nested is None:  # a value of another form cannot be examined
                        raise Refusal("invalid_request", NO_OBJECT, name)
                    self.look(member.inside, nested, (*path, name), closed=member.closed)
            elif decision is Decision.STRIP:
                self.removed.append((*path, name))
            elif decision is Decision.PSEUDONYM:
                if given(raw):
                    self.pseudonyms.append((*path, name))
            elif decision is Decision.CACHE_KEY:
                if given(raw):
                    self.cache_keys.append(name)
            elif decision is Decision.REFUSE:
                if len(raw) > 5 or bytes(raw) not in _FALSY:
                    raise Refusal(member.code, member.why, name)
            elif member.usual and bytes(raw) not in member.usual:
                if decision is Decision.MODEL:
                    raise Refusal(member.code, member.why, name)
                self.cached.append((*path, name))


def examine(operation: Operation, members: Members, walked: Collection[str] = ()) -> Steps[Examined]:
    """The members of a request that are not sent unchanged.

    Args:
        operation: What is asked for.
        members: The request's members.
        walked: Those that `providers.members.parts.walk` visits next; see `seen`.

    Raises:
        Refusal: It has a member that is refused, or one that must be an object and is not.
    """
    search = _Search()
    search.look(REGISTER[operation], members, ())
    yield
    hidden = yield from deep.may_hold(operation.family, members, walked)
    found = Examined(
        tuple(search.removed),
        tuple(search.unlisted),
        tuple(search.pseudonyms),
        tuple(search.cache_keys),
        tuple(search.cached),
        tuple(search.unknown),
        hidden,
    )
    return _NOTHING if found == _NOTHING else found


def seen(found: Examined, deep_too: bool) -> Examined:
    """The same, if a walk has seen a member that is removed from parts, or not."""
    return msgspec.structs.replace(found, deep=True) if deep_too and not found.deep else found


def edit(edits: Edits, family: Family, found: Examined, target: Target) -> Steps[None]:
    """Carry out the decisions for one target."""
    if found.deep:
        yield from deep.clean(family, edits, extended_cache=target.extended_cache)
    if target.uncached:
        yield from deep.uncache(family, edits)
    gone = removed(found, extended_cache=target.extended_cache, strip_unknown=target.strip_unknown)
    if target.pseudonym:
        _apply(edits, gone, None)
        _apply(edits, found.pseudonyms, quoted(target.pseudonym))
        for name in found.cache_keys:
            edits.replace(name, quoted(_cache_key(edits, name, target)))
    else:
        _apply(edits, (*gone, *found.pseudonyms, *((name,) for name in found.cache_keys)), None)


def _cache_key(edits: Edits, name: str, target: Target) -> str:
    """The replacement for a client's own key of the prompt cache."""
    value = edits.value(name) or b""
    text = decode_text(msgspec.Raw(value)) if len(value) <= _LONGEST_KEY else None
    return target.pseudonym if text is None or target.cache_key is None else target.cache_key(text)


def removed(found: Examined, *, extended_cache: bool, strip_unknown: bool) -> Iterable[tuple[str, ...]]:
    """The paths of members that are removed."""
    yield from found.removed
    yield from found.unlisted
    if not extended_cache:
        yield from found.cached
    if strip_unknown:
        yield from found.unknown


def told(found: Examined, *, extended_cache: bool, strip_unknown: bool, betas: int = 0) -> str:
    """The removed members, for the caller: names from the register and a count of the others; may be empty.

    ``betas``: the number of the request's betas that no table knows.
    """
    if found is _NOTHING and not betas:
        return ""
    names = [".".join(path) for path in found.removed]
    if not extended_cache:
        names += [".".join(path) for path in found.cached]
    others = len(found.unlisted) + (len(found.unknown) + betas if strip_unknown else 0)
    return ", ".join([*names, f"{others} unknown"] if others else names)


def _apply(edits: Edits, paths: Iterable[tuple[str, ...]], value: bytes | None) -> None:
    """Replace the values at these paths, or remove them. Each object is parsed once, whatever the number of paths."""
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
