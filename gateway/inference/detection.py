"""Finds credentials and personal data in the texts of a request, by rule sets that others keep.

Rules:

1. Credentials: the patterns of bc-detect-secrets' plugins, run by RE2, whose time is linear in the text. A pattern
   that RE2 does not take (look-behind) is not used, and `skipped` counts it.
2. Personal data: e-mail addresses by the pattern of the HTML standard (section 4.10.5.1.5, "valid e-mail address"),
   bank accounts and payment cards by python-stdnum's check of their check digits, telephone numbers in their
   international form by libphonenumber's own metadata.
3. Everything is imported and compiled when it is first asked for: a gateway that looks for nothing pays nothing.
4. What was found is a span and a kind. No text leaves this module.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable, Iterable
from enum import StrEnum
from functools import cache
from importlib import import_module
from typing import Any, Final, NamedTuple

from providers.masking.masking import SHORTEST, Detect, Found


class Sought(StrEnum):
    """What is looked for."""

    CREDENTIALS = "credentials"
    PERSONAL = "personal"


class MissingRules(Exception):
    """The packages with the rule sets are not installed (extra ``mask``)."""


class _Rule(NamedTuple):
    pattern: Any  # of RE2
    kind: str
    group: int
    valid: Callable[[str], bool] | None


# The plugin's word for what it finds -> the placeholder's. Everything else is SECRET.
_KINDS: Final = {"JSON Web Token": "TOKEN", "Private Key": "KEY", "Basic Auth Credentials": "PASSWORD"}
# https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address, with a dot demanded in the domain: what
# has none (a decorator, a host of one's own) is not somebody's address.
_EMAIL: Final = (
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
)
# Candidates only: the libraries decide.
_CARD: Final = r"\b[0-9](?:[ -]?[0-9]){12,18}\b"
_IBAN: Final = r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b"
_PHONE: Final = r"\+[1-9](?:[ ().-]{0,2}[0-9]){6,14}\b"


class Detector:
    """The rules of what is sought, in one set that says at one pass whether any of them matches."""

    def __init__(self, rules: list[_Rule], skipped: int) -> None:
        re2 = _re2()
        self._rules = rules
        self.skipped = skipped
        options = _options(re2)
        self._set = re2.Set.SearchSet(options)
        for rule in rules:
            self._set.Add(rule.pattern.pattern)
        self._set.Compile()

    def __call__(self, text: str) -> list[Found]:
        """The secrets of a text, in order; where two overlap, the one that begins first, then the longer."""
        matched = self._set.Match(text)
        if not matched:
            return []
        found: list[Found] = []
        for index in matched:
            rule = self._rules[index]
            for match in rule.pattern.finditer(text):
                start, end = match.span(rule.group)
                if end - start < SHORTEST:  # a group that is a part of the secret, or took no part
                    start, end = match.span()
                if start < end and (rule.valid is None or rule.valid(text[start:end])):
                    found.append(Found(start, end, rule.kind))
        found.sort(key=lambda one: (one.start, -one.end))
        kept: list[Found] = []
        for one in found:
            if not kept or one.start >= kept[-1].end:
                kept.append(one)
        return kept


@cache
def detector(sought: frozenset[Sought]) -> Detect:
    """The detector of what is sought, made once a process.

    Raises:
        MissingRules: The extra ``mask`` is not installed.
    """
    rules: list[_Rule] = []
    skipped = 0
    try:
        if Sought.CREDENTIALS in sought:
            found, skipped = _credentials()
            rules += found
        if Sought.PERSONAL in sought:
            rules += _personal()
        return Detector(rules, skipped)
    except ImportError:
        raise MissingRules from None


def _re2() -> Any:
    return import_module("re2")


def _options(re2: Any, flags: int = 0) -> Any:
    options = re2.Options()
    options.log_errors = False
    options.case_sensitive = not flags & re.IGNORECASE
    return options


def _credentials() -> tuple[list[_Rule], int]:
    plugins = import_module("detect_secrets.plugins")
    regex_detector: Any = import_module("detect_secrets.plugins.base").RegexBasedDetector
    re2 = _re2()
    rules: list[_Rule] = []
    skipped = 0
    for name in sorted(module.name for module in pkgutil.iter_modules(plugins.__path__)):
        module = import_module(f"{plugins.__name__}.{name}")
        members: list[Any] = list(vars(module).values())
        for plugin in members:
            if getattr(plugin, "__module__", "") != module.__name__ or not _is_concrete(plugin, regex_detector):
                continue
            kind = _KINDS.get(plugin.secret_type, "SECRET")
            for pattern in plugin().denylist:
                # Case goes into the pattern, since a set has one option for all.
                text = f"(?i){pattern.pattern}" if pattern.flags & re.IGNORECASE else pattern.pattern
                try:
                    compiled = re2.compile(text, _options(re2))
                except re2.error:
                    skipped += 1
                    continue
                whole = kind == "KEY"  # the key's lines are masked along with its header
                rules.append(_Rule(compiled, kind, 0 if whole or not compiled.groups else 1, None))
    return rules, skipped


def _is_concrete(plugin: Any, regex_detector: Any) -> bool:
    return inspect.isclass(plugin) and issubclass(plugin, regex_detector) and not inspect.isabstract(plugin)


def _personal() -> list[_Rule]:
    re2 = _re2()
    luhn, iban = import_module("stdnum.luhn"), import_module("stdnum.iban")
    phonenumbers = import_module("phonenumbers")

    def card(text: str) -> bool:
        digits = re.sub(r"[ -]", "", text)
        return len(set(digits)) > 1 and bool(luhn.is_valid(digits))

    def phone(text: str) -> bool:
        try:
            return bool(phonenumbers.is_valid_number(phonenumbers.parse(text, None)))
        except phonenumbers.NumberParseException:
            return False

    checks: Iterable[tuple[str, str, Callable[[str], bool] | None]] = (
        (_EMAIL, "EMAIL", None),
        (_CARD, "CARD", card),
        (_IBAN, "IBAN", iban.is_valid),
        (_PHONE, "PHONE", phone),
    )
    return [_Rule(re2.compile(pattern, _options(re2)), kind, 0, valid) for pattern, kind, valid in checks]
