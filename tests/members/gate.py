"""Compares the installed SDKs with the register: which members nobody has decided about, and the page that lists all.

``python -m tests.members.gate`` prints what is undecided, ``--write`` writes ``docs/members.md``.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from importlib.metadata import version
from pathlib import Path

from anthropic.types import RawMessageStreamEvent
from anthropic.types import Usage as AnthropicUsage
from anthropic.types.beta import BetaRawMessageStreamEvent, BetaUsage
from google.genai.types import GenerateContentResponseUsageMetadata
from openai.types import CompletionUsage
from openai.types.responses import ResponseStreamEvent, ResponseUsage

from providers.dialect import Family, Operation
from providers.members import anthropic, google, openai
from providers.members.decision import Member, Table
from providers.members.register import REGISTER
from providers.tools.catalog import SERVER_TOOLS
from tests.members import sdk
from tests.members.sdk import SdkMember

PAGE = Path(__file__).parents[2] / "docs/members.md"
NESTED: dict[Family, Table] = {
    Family.OPENAI: openai.NESTED,
    Family.ANTHROPIC: anthropic.NESTED,
    Family.GOOGLE: {**google.NESTED, **google.GENERATION_CONFIG},
}
HEAD = """\
# Members

What happens to every member of every request. `python -m tests.members.gate --write` writes this page from the tables
of `providers/members`. A test fails if an installed SDK has a member without a decision; `make drift` checks the newest
SDKs.

| decision | what happens |
|---|---|
| pass | it is sent to the provider unchanged |
| strip | it is removed, and the answer's `x-members-removed` names it |
| pseudonym | it is replaced with the account's pseudonym at this provider |
| keyed hash | it is replaced with a hash of its text and the account, keyed with the identity key: the same text has the same hash |
| policy | the setting that the reason names decides |
| priced | it is sent if its value has a price, else the request is refused |
| names a model, names a region | it is checked like the request's own model or region |
| refuse | the request is refused with the sentence of the reason |

For a string or an object that no table lists, `policy.unknown_members` decides: `strip` (the default; it is removed and
counted in `x-members-removed`), `pass` or `refuse`. Unknown numbers, booleans and lists are sent.
"""
TOOLS = """\
## Tools that run at the provider

These are the names for `policy.server_tools`. A tool that is not listed there is removed from a request and named in
`x-tools-removed`; if the request requires it, the request is refused. With `policy.server_tools_refuse = "refuse"` both
requests are refused.

| name | API | selected by | what the provider keeps | allowed by default | source |
|---|---|---|---|---|---|
"""
SDKS = ("openai", "anthropic", "google-genai")


def decision_of(member: SdkMember) -> Member | None:
    """What the register says about a member of an SDK, or ``None``."""
    family, table = member.operation.family, REGISTER[member.operation]
    if family is Family.GOOGLE and member.name in google.SDK_ONLY:
        return google.SDK_ONLY[member.name]
    if member.top:
        return table.get(member.name) or (
            google.GENERATION_CONFIG.get(member.name) if family is Family.GOOGLE else None
        )
    if (member.type, member.name) in openai.PLACES:
        return openai.PLACES[member.type, member.name]
    inside = [found.inside for found in table.values() if found.inside is not None]
    return NESTED[family].get(member.name) or next((t[member.name] for t in inside if member.name in t), None)


def known() -> Iterator[SdkMember]:
    """Every member of every SDK."""
    for operation in sdk.ROOTS:
        yield from sdk.members_of(operation)


def undecided(members: Iterable[SdkMember]) -> list[str]:
    """Those without a decision, as ``operation Type.name``."""
    return sorted({f"{m.operation} {m.type}.{m.name}" for m in members if decision_of(m) is None})


def undecided_betas(names: Iterable[str]) -> list[str]:
    """Betas without a decision."""
    return sorted({name for name in names if anthropic.beta_name(name) not in anthropic.BETAS})


def undecided_values() -> list[str]:
    """Kinds of parts and tools, events and members of usage without a decision."""
    missing: set[str] = set()
    for operation in sdk.ROOTS:
        kinds = {Family.OPENAI: openai.KINDS, Family.ANTHROPIC: anthropic.KINDS}.get(operation.family, {})
        missing |= {f"{operation} type {kind}" for kind in sdk.types_of(operation) if kind not in kinds}
    for table, unions in (
        (openai.EVENTS, (ResponseStreamEvent,)),
        (anthropic.EVENTS, (RawMessageStreamEvent, BetaRawMessageStreamEvent)),
    ):
        missing |= {f"event {name}" for union in unions for name in sdk.events_of(union) if name not in table}
    for table, structures in (
        (openai.USAGE, (CompletionUsage, ResponseUsage)),
        (anthropic.USAGE, (AnthropicUsage, BetaUsage)),
        (google.USAGE, (GenerateContentResponseUsageMetadata,)),
    ):
        missing |= {f"usage {path}" for one in structures for path in sdk.usage_of(one) if path not in table}
    return sorted(missing)


def page() -> str:
    """``docs/members.md``."""
    parts = [HEAD]
    tables: list[tuple[str, Table]] = [
        (str(operation), table)
        for operation, table in (
            (Operation.OPENAI_CHAT, openai.CHAT),
            (Operation.OPENAI_COMPLETIONS, openai.COMPLETIONS),
            (Operation.OPENAI_EMBEDDINGS, openai.EMBEDDINGS),
            (Operation.OPENAI_RESPONSES, openai.RESPONSES),
            (Operation.OPENAI_COMPACT, openai.COMPACT),
            (Operation.OPENAI_INPUT_TOKENS, openai.INPUT_TOKENS),
            (Operation.ANTHROPIC_MESSAGES, anthropic.MESSAGES),
            (Operation.ANTHROPIC_COUNT_TOKENS, anthropic.COUNT_TOKENS),
            (Operation.GEMINI_GENERATE, google.GENERATE),
            (Operation.GEMINI_COUNT_TOKENS, google.COUNT_TOKENS),
            (Operation.GEMINI_EMBED, google.EMBED),
            (Operation.GEMINI_BATCH_EMBED, google.BATCH_EMBED),
        )
    ]
    tables += [
        ("Further members of compatible hosts (OpenAI's dialect)", openai.HOSTS),
        ("Deeper members of OpenAI's requests", openai.NESTED),
        ("Deeper members of Anthropic's requests", anthropic.NESTED),
        ("Deeper members of Gemini's requests", google.NESTED),
        ("Betas of Anthropic's, without their dates", anthropic.BETAS),
        ("Kinds of OpenAI's parts, items and tools", openai.KINDS),
        ("Kinds of Anthropic's blocks and tools", anthropic.KINDS),
        ("Events of OpenAI's streams", openai.EVENTS),
        ("Events of Anthropic's streams", anthropic.EVENTS),
        ("Members of OpenAI's usage", openai.USAGE),
        ("Members of Anthropic's usage", anthropic.USAGE),
        ("Members of Gemini's usage", google.USAGE),
    ]
    for title, table in tables:
        parts.append(f"## {title}\n")
        parts.append("| members | decision | why | decided |\n|---|---|---|---|\n" + "".join(_rows(table)))
    parts.append(TOOLS + "".join(_tool_rows()))
    return "\n".join(parts)


def _tool_rows() -> Iterator[str]:
    for tool in sorted(SERVER_TOOLS, key=lambda tool: tool.id):
        selected = " ".join(f"`{name}`" for name in (*tool.types, *tool.members)) or "by its settings"
        allowed = "yes" if tool.by_default else "no"
        yield f"| `{tool.id}` | {tool.family.value} | {selected} | {tool.keeps} | {allowed} | {tool.source} |\n"


def _rows(table: Table) -> Iterator[str]:
    """A row for each decision and reason, with the members that share them."""
    grouped: dict[tuple[str, str, str], list[str]] = {}
    for path, member in sorted(_paths(table, "")):
        grouped.setdefault((member.decision.value, member.why, member.decided), []).append(f"`{path}`")
    for (decision, why, decided), names in grouped.items():
        yield f"| {' '.join(names)} | {decision} | {why} | {decided} |\n"


def _paths(table: Table, prefix: str) -> Iterator[tuple[str, Member]]:
    for name, member in table.items():
        yield f"{prefix}{name}", member
        if member.inside is not None:
            yield from _paths(member.inside, f"{prefix}{name}.")


def main() -> int:
    """Print the delta; 1 if there is one."""
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    members = set(known())
    names = set(sdk.betas())
    missing = undecided(members) + undecided_betas(names) + undecided_values()
    for line in missing:
        print(line)
    sdks = ", ".join(f"{name} {version(name)}" for name in SDKS)
    count = len({(member.operation.family, member.type, member.name) for member in members})
    print(f"{len(missing)} undecided of {count} members and {len(names)} betas ({sdks})")
    return bool(missing)


if __name__ == "__main__":
    sys.exit(main())
