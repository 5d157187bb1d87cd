"""Decisions about a member of a request: the vocabulary of the register's tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

REVIEWED = "2026-11-27"
"""When the decisions without a date of their own were last reviewed."""


class Decision(StrEnum):
    """What happens to a member. The values are what `docs/members.md` shows."""

    PASS = "pass"  # noqa: S105 - reaches the provider as it is
    STRIP = "strip"  # removed
    PSEUDONYM = "pseudonym"  # replaced by the account's pseudonym at this provider, or removed where it has none
    CACHE_KEY = "keyed hash"  # a string becomes a keyed hash of itself and the account, anything else the pseudonym
    POLICY = "policy"  # a setting decides
    PRICED = "priced"  # passes, and changes the price: a value without a price is refused
    MODEL = "names a model"  # checked like `model`
    REGION = "names a region"  # checked against the caller's region
    REFUSE = "refuse"  # the request is refused


class Member(msgspec.Struct, frozen=True):
    """One decision.

    Attributes:
        decision: The decision.
        why: The reason. For a refusal: the sentence that the caller gets, which says how to fix the request.
        inside: The decisions about the members of this object, if they are examined; the policy decides about unlisted
            ones, as at the top level.
        closed: Members that ``inside`` does not list are removed, whatever the policy says.
        usual: Values, as JSON, that need no decision.
        code: The code of a refusal: ``privacy_unsupported``, ``unsupported_feature``, or a code on which the API's SDK
            acts by itself.
        decided: The date of the decision.
    """

    decision: Decision
    why: str
    inside: Mapping[str, Member] | None = None
    closed: bool = False
    usual: tuple[bytes, ...] = ()
    code: str = "privacy_unsupported"
    decided: str = REVIEWED


Table: TypeAlias = Mapping[str, Member]
"""Name -> decision, for one object."""


def passes(why: str, *names: str) -> dict[str, Member]:
    """Members that are sent to the provider, for one reason."""
    return {name: Member(Decision.PASS, why) for name in names}


def each(decision: Decision, why: str, *names: str) -> dict[str, Member]:
    """Members that share a decision and its reason."""
    return {name: Member(decision, why) for name in names}


def looked_into(why: str, inside: Table) -> Member:
    """An object that is sent, with decisions about its members."""
    return Member(Decision.PASS, why, inside)
