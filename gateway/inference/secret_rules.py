"""The rules for secrets: patterns of other projects, and exceptions that only look like a secret.

A pattern finds candidates. A check then decides from the candidate and its context, in time that does not depend on the
text, and says which part is the secret. It rejects only what cannot be a secret (a version is not a host, a time is not
a card) or belongs to nobody (``noreply@``, a password for ``localhost``).

Sources: the patterns of bc-detect-secrets' plugins; e-mail addresses by the pattern of the HTML standard (section
4.10.5.1.5, "valid e-mail address"); payment cards by the networks' prefixes and lengths (ISO/IEC 7812) and the check
digit; bank accounts by python-stdnum; telephone numbers by libphonenumber's metadata.
"""

from __future__ import annotations

import inspect
import pkgutil
import re
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final, NamedTuple, TypeAlias

from gateway.inference.telephone import Telephone
from providers.masking.masking import SHORTEST

Span: TypeAlias = tuple[int, int]
Check: TypeAlias = Callable[[str, int, int], Span | None]


class Rule(NamedTuple):
    """One rule.

    Attributes:
        pattern: Of RE2.
        kind: Of what it finds, as placeholders say it.
        group: The group that is the secret; 0 for all that the pattern matches.
        check: Decides about a candidate.
        shortest: A shorter group is not a secret by itself.
    """

    pattern: Any
    kind: str
    group: int
    check: Check
    shortest: int = SHORTEST


# The plugin's word for what it finds -> the placeholder's. Everything else is SECRET.
_KINDS: Final = {"JSON Web Token": "TOKEN", "Private Key": "KEY", "Basic Auth Credentials": "PASSWORD"}
_AZURE: Final = "Azure Storage Account access key"
_TWILIO: Final = "Twilio API Key"

_GAP: Final = r"(?:.{0,100}\n?){0,2}"
"""Of Artifactory's pattern, between a name and the secret. RE2 tries it at each character for each name: 1 s a MB."""
_GAP_LENGTH: Final = 202
_GAP_LINES: Final = 3

_DELIMITERS: Final = " \t\r\n\"'=:`"
_WORD: Final = re.compile(r"[A-Za-z0-9]")
_BASE64: Final = re.compile(r"[A-Za-z0-9+/]+")
_BASE64_BEFORE: Final = re.compile(r"[A-Za-z0-9+/]*\Z")
_LONG_RUN: Final = 120  # characters of base64 without a break: data, not a token
_WRAPPED: Final = 60  # the shortest line of base64 in lines (RFC 7468 has 64, RFC 2045 76)
_LINE_BEFORE: Final = re.compile(rf"[A-Za-z0-9+/]{{{_WRAPPED}}}\r?\n[A-Za-z0-9+/]*\Z")
_LINE_AFTER: Final = re.compile(rf"[A-Za-z0-9+/=]*\r?\n[A-Za-z0-9+/]{{{_WRAPPED}}}")
_DIGEST: Final = re.compile(
    r"(?i)(?:sha-?(?:1|224|256|384|512)\W{0,3}|integrity\W{1,4}|checksum\W{1,4}|digest\W{1,4})\Z"
)
_HEX: Final = re.compile(r"[0-9a-f]+|[0-9A-F]+")


def credentials() -> tuple[list[Rule], int]:
    """The rules for credentials, and how many patterns RE2 does not support (look-behind). Raises ImportError."""
    plugins = import_module("detect_secrets.plugins")
    regex_detector: Any = import_module("detect_secrets.plugins.base").RegexBasedDetector
    re2 = import_module("re2")
    rules: list[Rule] = []
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
                before, gap, text = text.rpartition(_GAP)
                try:
                    compiled = re2.compile(text, options())
                except re2.error:
                    skipped += 1
                    continue
                whole = kind == "KEY"  # the key's lines are masked along with its header
                group = 0 if whole or not compiled.groups else 1
                shortest = 1 if kind == "PASSWORD" else SHORTEST
                check = _after(re.compile(before)) if gap else _check_of(plugin.secret_type, group)
                rules.append(Rule(compiled, kind, group, check, shortest))
    return rules, skipped


def options() -> Any:
    """RE2's, without its messages on the standard error."""
    made = import_module("re2").Options()
    made.log_errors = False
    return made


def _is_concrete(plugin: Any, regex_detector: Any) -> bool:
    return inspect.isclass(plugin) and issubclass(plugin, regex_detector) and not inspect.isabstract(plugin)


def _check_of(secret_type: str, group: int) -> Check:
    if secret_type == _AZURE:
        return _azure
    if secret_type == _TWILIO:
        return _alone
    kind = _KINDS.get(secret_type, "SECRET")
    if kind == "PASSWORD":
        return _password
    if kind == "KEY":
        return _as_found
    return _named if group else _begins


def _as_found(_text: str, start: int, end: int) -> Span | None:
    return start, end


def _begins(text: str, start: int, end: int) -> Span | None:
    """A token that is not a part of a longer word or of longer data."""
    start, end = _trimmed(text, start, end)
    if start > 0 and _WORD.match(text, start - 1):
        return None
    return None if _in_data(text, start, end) else (start, end)


def _alone(text: str, start: int, end: int) -> Span | None:
    """A token of a fixed length: no word continues at either side."""
    if end < len(text) and _WORD.match(text, end):
        return None
    return _begins(text, start, end)


def _named(text: str, start: int, end: int) -> Span | None:
    """What a name beside it says is a secret; a digest in hexadecimal is none of those."""
    if end - start == 40 and _HEX.fullmatch(text, start, end):
        return None
    return None if _in_data(text, start, end) else (start, end)


def _after(name: re.Pattern[str]) -> Check:
    """A token after one of these names, at a distance of at most `_GAP`."""

    def check(text: str, start: int, end: int) -> Span | None:
        before = text[max(0, start - _GAP_LENGTH) : start].split("\n")[-_GAP_LINES:]
        return _named(text, start, end) if any(map(name.search, before)) else None

    return check


def _azure(text: str, start: int, end: int) -> Span | None:
    """64 bytes in base64, which a SHA-512 is too: a lock file says which."""
    start, end = _trimmed(text, start, end)
    if (start > 0 and _BASE64.match(text, start - 1)) or _DIGEST.search(text, max(0, start - 24), start):
        return None
    return start, end


def _trimmed(text: str, start: int, end: int) -> Span:
    """Without the quotes and spaces that a pattern takes along."""
    while start < end and text[start] in _DELIMITERS:
        start += 1
    while end > start and text[end - 1] in " \t\r\n\"'`":
        end -= 1
    return start, end


def _in_data(text: str, start: int, end: int) -> bool:
    """The candidate is a part of a long run of base64, such as an image, in one line or in several."""
    low, high = max(0, start - _LONG_RUN), min(len(text), end + _LONG_RUN)
    before, after = _BASE64_BEFORE.search(text, low, start), _BASE64.match(text, start, high)
    run = (len(before[0]) if before else 0) + (len(after[0]) if after else 0)
    return run >= _LONG_RUN or bool(_LINE_BEFORE.search(text, low, start) and _LINE_AFTER.match(text, end, high))


# Passwords in URLs

_HERE: Final = re.compile(
    r"@(?:localhost|127(?:\.[0-9]{1,3}){3}|0\.0\.0\.0|\[::1?\]|host\.docker\.internal)(?![A-Za-z0-9.-])", re.IGNORECASE
)
_SHORTEST_PASSWORD: Final = 4
_STAND_INS: Final = frozenset(
    (
        *("pass", "password", "passwd", "passphrase", "pwd", "pw", "secret", "token"),
        *("changeme", "change-me", "change_me", "example", "redacted", "hidden"),
    )
)
_TEMPLATE: Final = re.compile(r"[<{%].*|.*[>}%]|[*x.•_-]+|your[_-].*|my[_-]?(?:pass(?:word)?|secret).*", re.IGNORECASE)


def _password(text: str, start: int, end: int) -> Span | None:
    """Not a password for this machine, and not a stand-in for one in documents."""
    word = text[start:end]
    if (
        len(word) < _SHORTEST_PASSWORD
        or _HERE.match(text, end)
        or word.lower() in _STAND_INS
        or _TEMPLATE.fullmatch(word)
    ):
        return None
    return start, end


# Personal data. Candidates only: the checks decide.

_EMAIL: Final = (
    r"[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]+@[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?"
    r"(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]{0,61}[a-zA-Z0-9])?)+"
)
_CARD: Final = r"\b[2-6][0-9]{3}(?:[ -]?[0-9]){9,15}\b"
_IBAN: Final = r"\b[A-Z]{2}[0-9]{2}(?: ?[A-Z0-9]){11,30}\b"
_PHONE: Final = r"\+[1-9](?:[ ().-]{0,2}[0-9]){6,14}\b"


def personal() -> list[Rule]:
    """The rules for personal data. Raises ImportError."""
    re2 = import_module("re2")
    luhn, iban, telephone = import_module("stdnum.luhn"), import_module("stdnum.iban"), Telephone()

    def card(text: str, start: int, end: int) -> Span | None:  # noqa: ARG001 - the forms say where it ends
        if start > 0 and (
            _NUMBER_BEFORE.match(text, start - 1) or _GROUP_BEFORE.search(text, max(0, start - 6), start)
        ):
            return None
        for form in _CARD_FORMS:
            found = form.match(text, start)
            if found is not None:
                digits = found[0].replace(" ", "").replace("-", "")
                if _NETWORKS.fullmatch(digits) and len(set(digits)) > 1 and luhn.is_valid(digits):
                    return found.span()
        return None

    def account(text: str, start: int, end: int) -> Span | None:
        while end - start >= _SHORTEST_IBAN:  # words in capitals may follow it
            compact = text[start:end].replace(" ", "")
            if _remainder(compact) == 1 and iban.is_valid(compact):
                return None if _in_data(text, start, end) else (start, end)
            end = text.rfind(" ", start, end)
        return None

    def phone(text: str, start: int, end: int) -> Span | None:
        if (start > 0 and _PHONE_BEFORE.match(text, start - 1)) or _COORDINATE.match(text, start):
            return None
        groups = _NO_DIGIT.split(text[start + 1 : end].replace("(0)", ""))
        if any(len(group) == 1 for group in groups[2:]):  # a decimal and another number
            return None
        return (start, end) if telephone.valid("".join(groups)) else None

    found: tuple[tuple[str, str, Check], ...] = (
        (_EMAIL, "EMAIL", _email),
        (_CARD, "CARD", card),
        (_IBAN, "IBAN", account),
        (_PHONE, "PHONE", phone),
    )
    return [Rule(re2.compile(pattern, options()), kind, 0, check) for pattern, kind, check in found]


_NO_DIGIT: Final = re.compile(r"[^0-9]+")
_PHONE_BEFORE: Final = re.compile(r"[\w)\]+.]")  # a sum, a version with a build (semver.org, section 10), an exponent
_COORDINATE: Final = re.compile(r"\+[0-9]{4}(?:[0-9]{2})?-[0-9]{5}(?:[0-9]{2})?\b")  # ISO 6709

# Networks by their first digits, with the lengths that they issue. (Numbers of 64 bits have up to 19 digits.)
_NETWORKS: Final = re.compile(
    r"4(?:[0-9]{12}|[0-9]{15})"  # Visa
    r"|(?:5[1-5][0-9]{2}|222[1-9]|22[3-9][0-9]|2[3-6][0-9]{2}|27[01][0-9]|2720)[0-9]{12}"  # Mastercard
    r"|3[47][0-9]{13}"  # American Express
    r"|3(?:0[0-5]|[689][0-9])(?:[0-9]{11}|[0-9]{13})"  # Diners Club
    r"|35[2-8][0-9]{13}"  # JCB
    r"|62[0-9]{14,17}"  # UnionPay
    r"|(?:50|5[6-8]|6[0-9])[0-9]{14}"  # Discover, Maestro and national ones
    r"|220[0-4][0-9]{12}"  # Mir
)
_NUMBER_BEFORE: Final = re.compile(r"[\w.+/-]")
_NUMBER_AFTER: Final = r"(?!\w|-\w|[./][0-9]|\s[0-9A-Fa-f]{4}\b)"
_GROUP_BEFORE: Final = re.compile(r"\b(?=[0-9A-Fa-f]{0,3}[0-9])[0-9A-Fa-f]{4}\s\Z")  # a dump of numbers
_CARD_FORMS: Final = (
    re.compile(r"[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}" + _NUMBER_AFTER),
    re.compile(r"[0-9]{4}([ -])[0-9]{4}\1[0-9]{4}\1[0-9]{4}\1[0-9]{3}" + _NUMBER_AFTER),
    re.compile(r"[0-9]{4}([ -])[0-9]{6}\1[0-9]{4,5}" + _NUMBER_AFTER),
    re.compile(r"[0-9]{13,19}" + _NUMBER_AFTER),
)
_SHORTEST_IBAN: Final = 15


def _remainder(iban: str) -> int:
    """ISO 13616: 1 if the check digits are right."""
    return int("".join(str(int(sign, 36)) for sign in iban[4:] + iban[:4])) % 97


_VERSION: Final = re.compile(r"v?[0-9]+\.[0-9]+(?:[.+-]|\Z)", re.IGNORECASE)
_SCALE: Final = re.compile(r"[0-9]+x(?:[.~]|\Z)")  # icon@2x.png
_TOP: Final = re.compile(r"[a-zA-Z]{2,24}|xn--[a-zA-Z0-9-]+", re.IGNORECASE)
_CODE_AFTER: Final = re.compile(r"[(\[_]")
_URL_PART: Final = re.compile(r".*[/?&#]", re.DOTALL)
_USER_BEFORE: Final = re.compile(r"//[^\s/?#@]*:\Z")
_ASSIGNED: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,31}=(?=.)")
# Suffixes of files and of systemd's units, none of which is a top-level domain.
_SUFFIXES: Final = frozenset(
    (
        *("png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "bmp", "avif", "pdf", "txt", "log", "csv", "lock", "po"),
        *("js", "mjs", "cjs", "ts", "mts", "cts", "jsx", "tsx", "css", "scss", "less", "html", "htm", "xml"),
        *("json", "yaml", "yml", "toml", "tgz", "gz", "whl", "jar", "dll", "exe"),
        *("service", "socket", "timer", "target", "mount", "automount", "slice", "scope", "device", "swap"),
    )
)
# Addresses of nobody: services to log in to, and senders that are not read.
_SERVICES: Final = frozenset(
    (
        *("git", "hg", "svn", "cvs", "bzr", "gitea", "forgejo", "x-access-token", "x-token-auth", "oauth2"),
        *("noreply", "no-reply", "no.reply", "no_reply", "donotreply", "do-not-reply", "do_not_reply"),
        *("nobody", "mailer-daemon"),
    )
)


def _email(text: str, start: int, end: int) -> Span | None:
    """An address of a person: its domain is valid, and its local part is neither a service nor a part of a URL."""
    at = text.index("@", start, end)
    slashes = text.find("//", start, at)
    if slashes >= 0 and not _URL_PART.match(text, slashes + 2, at):
        return None  # who logs in to a host
    if text.startswith(":", start - 1) and _USER_BEFORE.search(text, max(0, start - 128), start):
        return None  # with this password
    url = _URL_PART.match(text, start, at)
    start = url.end() if url else start
    while start < at and text[start] in "'`*{|}~!$%^=":
        start += 1
    assigned = _ASSIGNED.match(text, start, at)
    start = assigned.end() if assigned else start
    domain = text[at + 1 : end]
    top = domain.rsplit(".", 1)[1]
    if start == at or not _TOP.fullmatch(top) or top.lower() in _SUFFIXES or _CODE_AFTER.match(text, end):
        return None
    if _VERSION.match(domain) or _SCALE.match(domain) or domain.lower().startswith(("self.", "this.")):
        return None
    return None if text[start:at].lower() in _SERVICES else (start, end)
