"""The export of everything that is stored about a person: one function for the command line, services and the portal.

Rules:

1. It contains everything in the store that can be found from the account, except digests of tokens, users and
   networks. `metering.keys.KEPT` names the section of each kind of key.
2. The request is recorded in the audit stream first, so that the export shows it too.
3. A new kind of key needs a section here: the test that compares an export with the store fails without it.
"""

from __future__ import annotations

import csv
import io
from typing import Any, Self

import msgspec

from gateway.auth import choice as choices
from gateway.auth import entitlements as entitlement
from gateway.auth import sessions as session_store
from gateway.auth.choice import Choice
from gateway.auth.entitlements import Entitlements
from gateway.auth.sessions import EndedSession, Session, TokenTimes
from metering.accounts import audit
from metering.accounts.audit import Action, AuditEntry
from metering.accounts.holdings import Holdings, read_holdings
from metering.accounts.living import lives
from metering.ledger import records
from metering.ledger.ledger import Ledger
from metering.store.store import Store
from metering.stripe import customers, set_aside
from metering.stripe.export import SentCharge, sent_of
from metering.stripe.set_aside import SetAside


class RefusedCharge(msgspec.Struct, frozen=True):
    """A charge that Stripe refused at ``at`` (Unix seconds)."""

    rid: str
    rev: int
    charge: int
    started_ms: int
    at: int

    @classmethod
    def of(cls, refused: SetAside) -> Self:
        known = refused.charge
        return cls(known.rid, known.rev, known.charge, known.started_ms, refused.at)


class PersonExport(Holdings, frozen=True):
    """All that is held about a person. What each section is says its type; amounts are micro-credits.

    ``tokens`` are the times of the sessions' tokens; ``ended_sessions`` are sessions of which only the id remains.
    """

    entitlements: Entitlements
    choice: Choice
    sessions: tuple[Session, ...]
    tokens: tuple[TokenTimes, ...]
    ended_sessions: tuple[EndedSession, ...]
    stripe_customer: str | None
    stripe_sent: tuple[SentCharge, ...]
    stripe_refused: tuple[RefusedCharge, ...]
    audit: tuple[AuditEntry, ...]

    def json(self) -> dict[str, Any]:
        """For a JSON document; sets are in order."""
        found: dict[str, Any] = msgspec.to_builtins(self, order="deterministic")
        return found

    def csv(self) -> str:
        """The same, as one table: section, number in it, field, value."""
        out = io.StringIO()
        table = csv.writer(out)
        table.writerow(("section", "number", "field", "value"))
        for section, content in self.json().items():
            for number, item in enumerate(content if isinstance(content, list | tuple) else [content]):
                for name, value in item.items() if isinstance(item, dict) else [("", item)]:
                    table.writerow((section, number, name, _cell(value)))
        return out.getvalue()

    def usage_csv(self) -> str:
        """The records as a table, with a line of names."""
        out = io.StringIO()
        table = csv.writer(out)
        table.writerow(records.FIELDS)
        table.writerows(msgspec.structs.astuple(record) for record in self.records)
        return out.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, dict):
        return msgspec.json.encode(value).decode()
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else value


async def export_account(store: Store, ledger: Ledger, pid: str, *, actor: str) -> PersonExport | None:
    """All that is held about an account, or ``None`` if it was erased.

    Args:
        store: The store.
        ledger: On it.
        pid: The account.
        actor: Who asks, for the audit stream: a service's name, or an `Actor`.

    Raises:
        LedgerUnavailable, redis.RedisError: The store does not answer.
        ValueError: The actor is not an id.
    """
    await audit.note(store, actor, Action.EXPORTED, pid)
    client = store.client
    if not await lives(client, pid):
        return None
    holdings = await read_holdings(store, ledger, pid)
    sessions = tuple(await session_store.of_account(client, pid))
    return PersonExport(
        **{name: getattr(holdings, name) for name in Holdings.__struct_fields__},
        entitlements=await entitlement.read(client, pid),
        choice=await choices.read(client, pid),
        sessions=sessions,
        tokens=tuple(await session_store.tokens_of(client, [session.sid for session in sessions])),
        ended_sessions=tuple(await session_store.ended_of_account(client, pid)),
        stripe_customer=await customers.customer_of(store, pid),
        stripe_sent=tuple(await sent_of(store, pid, holdings.rids)),
        stripe_refused=tuple(RefusedCharge.of(one) for one in await set_aside.of_account(store, pid)),
        audit=tuple([entry async for entry in audit.read_audit(store) if entry.pid == pid]),
    )
