"""Carries one provider's seal in the field for another provider's seal.

A client speaks one dialect and sends the fields of an answer back unchanged; each dialect has one field for data that
only its provider can read. A seal of another provider is put into this field in an envelope, and the reader of the next
request unpacks it. An envelope is base64, since Google's field accepts nothing else:

    base64("codegrex:" family ":" "r" or nothing ":" id ":" data)
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Final

from providers.conversation.conversation import Seal
from providers.dialect import Family

_MARK: Final = b"codegrex:"  # nine bytes, so that its base64 does not depend on what follows
_PREFIX: Final = b64encode(_MARK).decode()
_FAMILIES: Final = {family.value: family for family in Family}


def sealed_for(family: Family, seal: Seal) -> str:
    """The value of this provider's field for the seal."""
    if seal.family is family:
        return seal.data
    fields = (seal.family.value, "r" if seal.redacted else "", seal.id, seal.data)
    return b64encode(_MARK + ":".join(fields).encode()).decode()


def opened(family: Family, data: str, *, identity: str = "", redacted: bool = False) -> Seal:
    """The seal in this provider's field.

    Args:
        family: The API that has the field.
        data: The value of the field.
        identity: The id next to it, for the provider's own seal.
        redacted: It is the whole reasoning, for the provider's own seal.
    """
    if data.startswith(_PREFIX):
        try:
            named, mark, inner, carried = b64decode(data)[len(_MARK) :].decode().split(":", 3)
            return Seal(_FAMILIES[named], carried, inner, mark == "r")
        except (ValueError, KeyError):
            pass  # not an envelope of the gateway's
    return Seal(family, data, identity, redacted)
