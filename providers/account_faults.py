"""Decides whether a provider's error is about the operator's key or account there, or about the caller's request.

A caller cannot fix the operator's account, and would read "your credit balance is too low" as a message about its own.
An error about the request is passed to the caller with the provider's text, because clients act on it.

Rules that everything here obeys:

1. Structure before text: a status, a code or a type decides if it can. The provider sets them, and no request can.
2. Known sentences are compared only with the provider's own ``message``, in an error of bounded size, and only with
   the start of the message: providers quote requests in the middle. An error that names a member of the request is
   about the request, whatever its text.
3. If the request contains the same sentence, the provider may be quoting it: `judged` reports that, and the error is
   passed to the caller if no other target accepts the request.
4. `Certainty` says how reliable the finding is. A consequence for other requests (a key is set aside) needs
   `Certainty.STATED`, or the same request's success with another key; so no caller can cause it by the text it sends.
5. No text of the error is kept or passed on: the result is two closed values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from providers.account_codes import (
    CODES,
    CONTENT,
    CONTENT_CODE,
    NO_MEMBER,
    NO_MODEL,
    NOT_FOUND,
    SENTENCES,
    SIZED,
    AccountFault,
)
from providers.dialect import Family

LONGEST_BODY: Final = 65_536
LONGEST_MESSAGE: Final = 2_000
_LONGEST_CODE: Final = 100


class Certainty(StrEnum):
    """How reliable a finding is, by its source."""

    STATED = "stated"  # a status or a code that has no other meaning
    WORDED = "worded"  # a known sentence
    ASSUMED = "assumed"  # a refusal that says nothing about the request
    QUOTED = "quoted"  # a known sentence that the request contains too: the provider may be quoting it


class Finding(NamedTuple):
    """An error about the operator's key or account, and how reliable that is."""

    fault: AccountFault
    certainty: Certainty


class _Said(NamedTuple):
    """An error's message and codes, in lower case."""

    messages: tuple[str, ...] = ()
    codes: tuple[str, ...] = ()  # the most specific ones first
    member: str = ""  # the member of the request that the error names


def account_fault(family: Family, status: int, body: bytes) -> Finding | None:
    """Whether an error is about the operator's key or account.

    Args:
        family: Whose dialect the error is in.
        status: Its HTTP status, or the one that an error inside a 2xx answer means.
        body: The error as the provider sent it: JSON, a JSON array of one, or one event of a stream.

    Returns:
        The finding; ``None`` for errors about the request, and for the provider's own failures (5xx).
    """
    if not 400 <= status < 500:
        return None
    said = _said(body)
    if status == 402 and _sized(said):
        return Finding(AccountFault.CREDIT, Certainty.ASSUMED)  # the account still pays for smaller requests
    codes = CODES[family]
    stated = next((codes[code] for code in said.codes if code in codes), None)
    if stated is not None:
        return Finding(stated, Certainty.STATED)
    worded = _worded(said)
    if status in _STATED:
        return Finding(worded or _STATED[status], Certainty.STATED)
    if worded is not None:
        return Finding(worded, Certainty.WORDED)
    if status == 403 and not _about_content(said):
        return Finding(AccountFault.ACCESS, Certainty.ASSUMED)
    return None


def judged(family: Family, status: int, body: bytes, request: bytes) -> Finding | None:
    """As `account_fault`, for the error that this request got."""
    finding = account_fault(family, status, body)
    if finding is None or finding.certainty is not Certainty.WORDED:
        return finding
    found = _sentence(_said(body))
    quoted = found is not None and found[1].encode() in request
    return Finding(finding.fault, Certainty.QUOTED) if quoted else finding


def depends_on_size(body: bytes) -> bool:
    """Whether an error says that this request exceeds a limit of size that smaller requests would meet."""
    return _sized(_said(body))


def lacks_model(family: Family, status: int, body: bytes) -> bool:
    """Whether an error says that this host does not have the model, or does not show it to this key.

    Args:
        family: Whose dialect the error is in.
        status: Its HTTP status.
        body: As in `account_fault`.
    """
    if not 400 <= status < 500:
        return False
    said = _said(body)
    if said.member not in NO_MEMBER:
        return False  # something else that the request names
    return any(code in NO_MODEL or (status == 404 and code in NOT_FOUND[family]) for code in said.codes)


def _sized(said: _Said) -> bool:
    return any(SIZED.search(message) for message in said.messages)


_STATED: Final = {401: AccountFault.KEY, 402: AccountFault.CREDIT}


def _worded(said: _Said) -> AccountFault | None:
    found = _sentence(said)
    return None if found is None else found[0]


def _sentence(said: _Said) -> tuple[AccountFault, str] | None:
    """The known sentence at the start of an error, and its meaning."""
    if said.member not in NO_MEMBER:
        return None
    for fault, sentence in SENTENCES:
        for message in said.messages:
            if (found := sentence.match(message)) is not None:
                return fault, found[0]
    return None


def _about_content(said: _Said) -> bool:
    """Whether a refusal is about the content of the request: moderation, policies, safety checks."""
    return any(CONTENT_CODE.search(code) for code in said.codes) or any(
        CONTENT.search(message) for message in said.messages
    )


# -- reading an error --------------------------------------------------------------------------


def _said(body: bytes) -> _Said:
    if not body or len(body) > LONGEST_BODY:
        return _Said()
    try:
        whole = msgspec.json.decode(_event_data(body))
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return _Said()
    if isinstance(whole, list) and whole:
        whole = whole[0]  # Gemini's streams without `alt=sse` are arrays
    if not isinstance(whole, dict):
        return _Said()
    error = whole.get("error")
    if error is None and isinstance(response := whole.get("response"), dict):
        error = response.get("error")  # `response.failed`
    if isinstance(error, dict) and isinstance(error.get("error"), dict):
        error = error["error"]  # wrapped twice by some compatible hosts
    if isinstance(error, dict):
        sources: tuple[Mapping[str, Any], ...] = (error, whole)
        message = error.get("message")
    else:  # `{"code": ..., "error": "..."}` of xAI, `{"code": ..., "message": ...}` of others
        sources = (whole,)
        message = error if isinstance(error, str) else whole.get("message") or whole.get("detail")
    messages = [message, *_details(sources[0])]
    member = sources[0].get("param")
    return _Said(
        tuple(text.strip() for text in messages if isinstance(text, str) and len(text) <= LONGEST_MESSAGE),
        tuple(_codes(sources)),
        member if isinstance(member, str) else "",
    )


def _event_data(body: bytes) -> bytes:
    """The data of the first event, if the error came as an event stream; else ``body``."""
    start = body.lstrip()[:6]
    if not start.startswith((b"data:", b"event:")):
        return body
    data = (line[5:] for line in body.splitlines() if line.startswith(b"data:"))
    return next(data, b"")


def _codes(sources: tuple[Mapping[str, Any], ...]) -> Iterator[str]:
    for source in sources:
        details = source.get("details")
        inner = source.get("innererror")  # Azure
        metadata = source.get("metadata")  # OpenRouter
        places: list[Any] = [source, details, inner, metadata]
        if isinstance(details, list):  # Google
            places.extend(details)
        for place in places:
            if isinstance(place, dict):
                for name in _CODE_MEMBERS:
                    value = place.get(name)
                    if isinstance(value, int) and name == "code":
                        value = str(value)
                    if isinstance(value, str) and len(value) <= _LONGEST_CODE:
                        yield value.lower()
        if isinstance(metadata, dict) and ("reasons" in metadata or "flagged_input" in metadata):
            yield "moderation"


_CODE_MEMBERS: Final = ("code", "type", "status", "error_code", "error_type", "reason", "limit_source")


def _details(error: Mapping[str, Any]) -> Iterator[str]:
    """The text of Google's ``DebugInfo``: the message itself may be a placeholder."""
    details = error.get("details")
    for detail in details if isinstance(details, list) else ():
        text = detail.get("detail") if isinstance(detail, dict) else None
        if isinstance(text, str) and text.startswith(_ORIGINAL):
            yield text[len(_ORIGINAL) :].partition(": ")[2]


_ORIGINAL: Final = "[ORIGINAL ERROR] generic::"
