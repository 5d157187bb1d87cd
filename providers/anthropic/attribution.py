"""Claude Code's attribution: a line at the start of the system prompt that changes with every request.

    x-anthropic-billing-header: cc_version=2.1.37.0d9; cc_entrypoint=cli; cch=fa690;

It is a text block of its own, or the first line of one. Anthropic reads it. For everybody else it stands before all
that a prompt cache could find again, and Amazon refuses it as a reserved word:
https://github.com/anthropics/claude-code/issues/68900, https://github.com/vllm-project/vllm/pull/36829.
"""

from __future__ import annotations

from typing import Final

import msgspec

from providers.bounds import STEP_ELEMENTS
from providers.document.look import values
from providers.document.members import is_list, read_object
from providers.document.splice import Edits
from providers.document.strings import quoted
from providers.steps import Steps

_MARK: Final = "x-anthropic-billing-header:"
_NEEDLE: Final = _MARK.encode()


def without_attribution(text: str) -> str:
    """A system text without the line; empty if it has nothing else."""
    return text.partition("\n")[2].lstrip("\n") if text.startswith(_MARK) else text


def remove_attribution(edits: Edits) -> Steps[None]:
    """Remove the line from the member ``system`` of a request; every other byte stays."""
    system = edits.current("system")
    if system is None or _NEEDLE not in system:
        return
    if not is_list(msgspec.Raw(system)):
        _replace(edits, "system", system)
        return
    kept: list[bytes] = []
    blocks = values(msgspec.Raw(system))
    for number, raw in enumerate(blocks):
        block = bytes(raw)
        members = read_object(block) if _NEEDLE in block else None
        if members is not None and "text" in members.spans:
            inner = Edits(block, members.spans)
            if not _replace(inner, "text", bytes(members.raws["text"])):
                continue
            block = inner.build()
        kept.append(block)
        if number % STEP_ELEMENTS == 0:
            yield
    if not kept:
        edits.remove("system")
    elif kept != [bytes(raw) for raw in blocks]:
        edits.replace("system", b"[" + b",".join(kept) + b"]")


def _replace(edits: Edits, name: str, token: bytes) -> bool:
    """Take the line out of a member that is a string. False if nothing is left: the member is removed."""
    text = msgspec.json.decode(token) if token.startswith(b'"') else None
    rest = without_attribution(text) if isinstance(text, str) else None
    if rest is None or rest == text:
        return True
    if not rest:
        edits.remove(name)
        return False
    edits.replace(name, quoted(rest))
    return True
