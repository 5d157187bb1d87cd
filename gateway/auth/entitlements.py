"""What an account and its organisation may use: written by billing, read with the session.

Rules:

1. ``a:<pid>`` and ``o:<hmac(org)>`` are hashes of a version and a body. A write with an older version, or with the
   same one and another body, changes nothing: events of a billing system may arrive twice and in any order.
2. Empty means not restricted, for the whole and for every field. `gateway.auth.policy` joins all sources; the strictest
   wins.
3. A body that cannot be read restricts to local mode, so that damaged data never loosens a policy.
4. A key contains a keyed digest of the organisation's name, not the name.

After a write, the caller must announce it (`gateway.auth.announcements`, ``policy_changed``); without that it takes
effect when the workers' cache entries expire, within 5 s.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, cast

import msgspec

from gateway.auth import functions
from gateway.auth.identity import digest
from gateway.auth.principal import Client, Mode, str_of
from gateway.config.providers import MOST_RETENTION_DAYS
from metering.accounts import living
from metering.usage import LARGEST_AMOUNT

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/@+-]{0,127}")
_TIER = re.compile(r"[a-z0-9_-]{0,32}")
_WORD = re.compile(r"[a-z0-9_-]{0,32}")
_VERSION = re.compile(r"[0-9]{1,9}(\.[0-9]{1,9}){0,5}")
_LATER = ("max_retention_days", "fallback_companies")
LONGEST_COMPANY = 64
_DIGEST = re.compile(r"([0-9a-f]{64})?")


@dataclass(frozen=True, slots=True)
class Entitlements:
    """Of one account or one organisation.

    Attributes:
        version: The writer's own, growing: 0 is nothing written yet.
        tier: Plan of the configuration; takes the place of the session's own where stated.
        models: Names that may be used; empty is every one.
        region: `gateway.config.Region` that prompts must stay in, or empty.
        mode: ``local``, ``cloud`` or empty, which states nothing.
        org: Digest of the organisation (`org_digest`) that an account belongs to, or empty.
        min_app: Platform to the lowest app version that may be used, as ``1.2.3``.
        max_retention_days: For how long a provider may keep prompts; ``None`` states nothing.
        fallback_companies: Companies that may answer if the selected one fails, as the configuration names them;
            ``None`` states nothing, and if nobody states any, none may.
    """

    version: int
    tier: str = ""
    models: frozenset[str] = frozenset()
    region: str = ""
    mode: str = ""
    org: str = ""
    min_app: Mapping[str, str] = field(default_factory=dict)
    max_retention_days: int | None = None
    fallback_companies: frozenset[str] | None = None


NONE = Entitlements(0)

_encoder = msgspec.json.Encoder(order="deterministic")  # the same content is the same text: versions compare it
_decoder = msgspec.json.Decoder(Entitlements)


def account_key(pid: str) -> str:
    return f"a:{pid}"


def org_key(org: str) -> str:
    """``org`` is a digest, see `org_digest`."""
    return f"o:{org}"


def org_digest(key: bytes, org: str) -> str:
    """The digest of an organisation in keys and in `Entitlements.org`; ``key`` is the identity key."""
    return digest(key, "organisation", org)


async def read(client: Client, pid: str) -> Entitlements:
    """An account's, `NONE` if nothing was written. Raises redis-py's errors."""
    return decode(await client.hgetall(account_key(pid)))


async def write(client: Client, pid: str, entitlements: Entitlements) -> bool:
    """Write an account's; false if the store has a newer version, or another content under this one.

    Raises:
        ValueError: A field is not of its form, or the version is not above 0.
        AccountGone: The account was erased; nothing is kept.
        redis.RedisError: Not written, or not known; repeat it.
    """
    written = await _write(client, account_key(pid), entitlements)
    await living.unless_gone(client, pid, partial(erase, client, pid))
    return written


async def read_org(client: Client, org: str) -> Entitlements:
    """An organisation's, by its digest. As `read`."""
    return decode(await client.hgetall(org_key(org)))


async def write_org(client: Client, org: str, entitlements: Entitlements) -> bool:
    """Write an organisation's, by its digest; its own ``org`` must be empty. As `write`."""
    if not org or not _DIGEST.fullmatch(org) or entitlements.org:
        raise ValueError("an organisation is named by its digest and belongs to none")
    return await _write(client, org_key(org), entitlements)


async def erase(client: Client, pid: str) -> None:
    """Forget an account's. Raises redis-py's errors."""
    await client.delete(account_key(pid))


def decode(fields: Mapping[bytes | str, bytes | str]) -> Entitlements:
    """A stored hash; see rule 3."""
    texts = {str_of(name): value for name, value in fields.items()}
    if "body" not in texts:
        return NONE
    try:
        return _decoder.decode(texts["body"])
    except (msgspec.DecodeError, UnicodeDecodeError):
        return replace(NONE, mode=Mode.LOCAL.value)


async def _write(client: Client, key: str, entitlements: Entitlements) -> bool:
    check(entitlements)
    # Left out of the body: what was written before they existed is the same.
    unset = {name: msgspec.UNSET for name in _LATER if getattr(entitlements, name) is None}
    entitlements = replace(entitlements, **cast("dict[str, Any]", unset))
    body = _encoder.encode(entitlements).decode()
    return bool(await functions.call(client, "cgxa1_entitle", (key,), entitlements.version, body))


class NotOfItsForm(ValueError):
    """A field of entitlements is not of its form. ``name`` is that field's; the text holds nothing of its value."""

    def __init__(self, name: str) -> None:
        super().__init__(f"{name} is not of its form")
        self.name = name


def check(entitlements: Entitlements) -> None:
    """Raises `NotOfItsForm` for the first field that is not of its form."""
    e = entitlements
    days = e.max_retention_days
    good = {
        "version": 0 < e.version <= LARGEST_AMOUNT,
        "tier": _TIER.fullmatch(e.tier),
        "models": all(_NAME.fullmatch(name) for name in e.models),
        "region": _WORD.fullmatch(e.region),
        "mode": e.mode in ("", *Mode),
        "org": _DIGEST.fullmatch(e.org),
        "max_retention_days": days is None or 0 <= days <= MOST_RETENTION_DAYS,
        "fallback_companies": all(
            0 < len(name) <= LONGEST_COMPANY and name.isprintable() for name in e.fallback_companies or ()
        ),
        "min_app": all(_WORD.fullmatch(name) and _VERSION.fullmatch(low) for name, low in e.min_app.items()),
    }
    for name, holds in good.items():
        if not holds:
            raise NotOfItsForm(name)
