"""What is decided about a member of a request: the words of the register's tables."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeAlias

import msgspec

REVIEWED = "2026-11-27"
"""When a decision without a date of its own was last looked at."""


class Decision(StrEnum):
    """What happens to a member. The values are what `docs/members.md` shows."""

    PASS = "pass"  # noqa: S105 - reaches the provider as it is
    STRIP = "strip"  # removed
    PSEUDONYM = "pseudonym"  # replaced by the account's pseudonym at this provider, or removed where it has none
    POLICY = "policy"  # a setting decides
    PRICED = "priced"  # passes, and moves the price: what has no price is refused
    MODEL = "names a model"  # checked as `model` is
    REGION = "names a region"  # checked against the caller's region
    REFUSE = "refuse"  # the request is


class Member(msgspec.Struct, frozen=True):
    """One decision.

    Attributes:
        decision: What happens.
        why: The reason. If the request is refused: the sentence that the caller gets, with the mend.
        inside: What is decided about the members of this object, if it is looked into; what this does not list falls
            to the policy, as at the top level.
        closed: What ``inside`` does not list is removed whatever the policy says.
        usual: Values at which there is nothing to decide, as JSON.
        code: Of a refusal: ``privacy_unsupported`` or ``unsupported_feature``.
        decided: When, as a date.
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
    """Members that reach the provider, for one reason."""
    return {name: Member(Decision.PASS, why) for name in names}


def each(decision: Decision, why: str, *names: str) -> dict[str, Member]:
    """Members that share a decision and its reason."""
    return {name: Member(decision, why) for name in names}


def looked_into(why: str, inside: Table) -> Member:
    """An object that passes, but for what is decided about its members."""
    return Member(Decision.PASS, why, inside)


class Examined(msgspec.Struct, frozen=True):
    """What of one request does not pass as it is, each by its path of names.

    Attributes:
        removed: Decided, and by names of the register's own.
        unlisted: Further members of objects that hold nothing but what is listed.
        pseudonyms: What tells users apart.
        cached: Asks for a prompt cache that outlasts the provider's memory.
        deep: The parts of the conversation may hold what does not pass (`providers.members.deep`).
        unknown: In no table: strings and objects, which can name or keep something. Names are the client's.
    """

    removed: tuple[tuple[str, ...], ...] = ()
    unlisted: tuple[tuple[str, ...], ...] = ()
    pseudonyms: tuple[tuple[str, ...], ...] = ()
    cached: tuple[tuple[str, ...], ...] = ()
    unknown: tuple[tuple[str, ...], ...] = ()
    deep: bool = False
