"""Finds credentials and personal data in the texts of a request, in steps of bounded work.

Rules:

1. RE2 runs the patterns in linear time; a check of bounded work decides about each candidate (`secret_rules`).
2. A long text is searched in overlapping windows. A match that begins inside a window is followed to its end.
3. A body may have `MOST_CANDIDATES` candidates; with more it is refused, since the rest would not be searched.
4. Patterns are imported and compiled on first use, so that a gateway without the search pays nothing.
5. A result is a span and a kind. No text leaves this module.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Any, Final

from gateway.inference.secret_rules import Rule, credentials, options, personal
from providers.masking.masking import Found, TooMany

MOST_CANDIDATES: Final = 100_000
WINDOW: Final = 65_536
MARGIN: Final = 8_192
"""Characters at the edge of a window in which nothing begins for it: longer than tokens, keys and what names them."""

SET_SIZE: Final = 700
"""Instructions of RE2's programs that are in one set: above it the states of a set multiply."""

_STEP: Final = 64  # candidates
_LONGEST: Final = WINDOW
_GOES_ON: Final = re.compile(r"(?:\S|\r?\n(?=[A-Za-z0-9+/=]{16})){1,65536}")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Sought(StrEnum):
    """What is looked for."""

    CREDENTIALS = "credentials"
    PERSONAL = "personal"


class MissingRules(Exception):
    """The packages with the rule sets are not installed (extra ``mask``)."""


class Detector:
    """The rules of what is sought, and sieves that say at a few passes which of them may match.

    A filter knows the words without which a rule cannot match; rules without such words are in sets. One set of all
    rules would be one pass, but its states multiply: a text made for it takes 4 s a MB.
    """

    def __init__(self, rules: list[Rule], skipped: int) -> None:
        re2 = import_module("re2")
        self._rules = rules
        self.skipped = skipped
        self._filter = re2.Filter()
        for rule in rules:
            self._filter.Add(rule.pattern.pattern, options())
        self._filter.Compile()
        wordless = self._filter.Match(b"", potential=True) or []
        self._wordless = frozenset(wordless)
        self._sets: list[tuple[Any, list[int]]] = []
        size = SET_SIZE
        for index in sorted(wordless, key=lambda index: rules[index].pattern.programsize):
            size += rules[index].pattern.programsize
            if size > SET_SIZE:
                size = rules[index].pattern.programsize
                self._sets.append((re2.Set.SearchSet(options()), []))
            self._sets[-1][0].Add(rules[index].pattern.pattern)
            self._sets[-1][1].append(index)
        for one, _ in self._sets:
            one.Compile()

    def __call__(self, text: str) -> list[Found]:
        """The secrets of a text, without steps."""
        return [found for found in Search(self)(text) if found is not None]

    def candidates(self, text: str | bytes) -> list[Rule]:
        """The rules that may match in the text."""
        found = [index for index in self._filter.Match(text, potential=True) or () if index not in self._wordless]
        for one, indexes in self._sets:
            found += [indexes[index] for index in one.Match(text) or ()]
        return [self._rules[index] for index in found]


class Search:
    """The search of one body: use one for all of its texts."""

    def __init__(self, detector: Detector, most: int = MOST_CANDIDATES) -> None:
        self._detector = detector
        self._left = most

    def __call__(self, text: str) -> Iterator[Found | None]:
        """The secrets of a text, in order and without overlap, and None after each step of bounded work.

        Of two that overlap, the one that begins first is found, then the longer.

        Raises:
            TooMany: The body has more than ``most`` candidates.
        """
        ends: dict[int, int] = {}  # of each rule: where its last candidate ended
        last = start = 0
        while True:
            window = _Window(text, start, min(len(text), start + WINDOW))
            rules = self._detector.candidates(window.subject)
            if not rules and window.end == len(text):
                return
            found: list[Found] = []
            for rule in rules:
                for one in self._of_rule(rule, window, ends):
                    if one is None:
                        yield None
                    else:
                        found.append(one)
            found.sort(key=lambda one: (one.start, -one.end))
            for count, one in enumerate(found, 1):
                if one.start >= last:
                    last = one.end
                    yield one
                if not count % _STEP:
                    yield None
            yield None
            if window.end == len(text):
                return
            start = window.end - 2 * MARGIN

    def _of_rule(self, rule: Rule, window: _Window, ends: dict[int, int]) -> Iterator[Found | None]:
        """What a rule finds that begins in the window's own part, and None after each step."""
        whole, offset = window.whole, window.start
        for count, match in enumerate(rule.pattern.finditer(window.subject), 1):
            if not count % _STEP:
                yield None
            begin = match.start() + offset
            if begin >= window.beyond:
                return
            if begin < max(window.first, ends.get(id(rule), 0)):
                continue
            self._left -= 1
            if self._left < 0:
                raise TooMany
            start, end = match.span(rule.group)
            if end - start < rule.shortest:  # a group that took no part, or is the beginning of the secret only
                start, end = match.span()
            start, end = start + offset, end + offset
            if end == window.end < len(whole):
                for end in _ends(rule, whole, begin):  # noqa: B007 - the last one is it
                    yield None
            ends[id(rule)] = end
            span = rule.check(whole, start, end)
            if span is not None and span[0] < span[1]:
                yield Found(*span, rule.kind, context=rule.group > 0)


class _Window:
    """A part of a text that overlaps with the next one; what begins from ``first`` up to ``beyond`` is found in it."""

    def __init__(self, whole: str, start: int, end: int) -> None:
        self.whole = whole
        self.start = start
        self.end = end
        self.first = start + MARGIN if start else 0
        self.beyond = end - MARGIN if end < len(whole) else end + 1
        text = whole if not start and end == len(whole) else whole[start:end]
        if text.isascii():
            self.subject: str | bytes = text.encode()  # RE2 counts bytes: cheaper if they are characters
        else:
            self.subject = _SURROGATE.sub("\ufffd", text)  # a lone surrogate is not a character for a rule


def _ends(rule: Rule, text: str, start: int) -> Iterator[int]:
    """Where a match ends that began at ``start`` and is longer than its window; the last one is it.

    Beyond `_LONGEST` it continues to the next space, or to the end of the lines of base64.
    """
    match = rule.pattern.match(text[start : start + _LONGEST])
    end = start + (match.end() if match is not None else WINDOW)
    yield end
    while end >= start + _LONGEST and (more := _GOES_ON.match(text, end)):
        end = more.end()
        yield end


@cache
def detector(sought: frozenset[Sought]) -> Detector:
    """The detector of what is sought, made once a process.

    Raises:
        MissingRules: The extra ``mask`` is not installed.
    """
    rules: list[Rule] = []
    skipped = 0
    try:
        if Sought.CREDENTIALS in sought:
            found, skipped = credentials()
            rules += found
        if Sought.PERSONAL in sought:
            rules += personal()
        return Detector(rules, skipped)
    except ImportError:
        raise MissingRules from None
