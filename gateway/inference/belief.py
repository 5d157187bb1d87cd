"""Whether the counts that a provider states are possible for the request: impossible counts are not charged. Pure.

Rules:

1. A request reads no more than its model's context window (each text to embed, and each prompt of a completion, has one
   to itself), and one choice is no longer than the model's longest answer. A tool at the provider starts the model
   again for each call. A count above `TOLERANCE` times these limits is an error of the provider or of a proxy: that
   side counts as not stated, and the report is suspect.
2. The tolerance allows for windows that were raised later. A count within it is charged as stated, to the token, even
   if it exceeds the window.
"""

from __future__ import annotations

from typing import Final

from msgspec.structs import replace

from gateway.catalog.catalog import Model
from gateway.inference import holds
from metering.usage import INPUT_COUNTS, OUTPUT_COUNTS, TOOL_COUNTS, Report, Usage
from providers.dialect import Head

TOLERANCE: Final = 8
# The largest window of any model that is served today (Llama 4 Scout), for models of which none is known.
UNKNOWN_WINDOW: Final = 10_000_000
# Calls of one of the provider's tools in one request; its default is ten, and no API documents more than some hundred.
_MOST_CALLS: Final = 1_000


def believed(report: Report, model: Model, head: Head, bound: int) -> Report:
    """The report without the sides that cannot be true; itself if all can.

    Args:
        report: What the provider stated.
        model: What was asked for.
        head: The request's.
        bound: The bound of its input, in tokens: many texts to embed are more than one window.
    """
    window = model.context_window * TOLERANCE if model.context_window else UNKNOWN_WINDOW
    longest = (model.max_output or model.context_window or holds.UNKNOWN_OUTPUT) * TOLERANCE
    turns = 1 + holds.MOST_CALLS if head.server_tools else 1
    most_input = max(window * head.choices, bound * TOLERANCE) * turns
    most_output = longest * turns * head.choices
    doubted = [
        usage
        for usage in (report.usage, *(usage for _, usage in report.others))
        if usage is not None and _beyond(usage, most_input, most_output)
    ]
    if not doubted:
        return report
    kept = report.usage
    if kept is not None and kept in doubted:
        kept = _without(kept, most_input, most_output)
    others = tuple((name, usage) for name, usage in report.others if usage not in doubted)
    return replace(report, usage=kept, others=others, contexts=(), suspect=True)


def _beyond(usage: Usage, most_input: int, most_output: int) -> bool:
    return (
        usage.input_tokens > most_input
        or usage.output_tokens > most_output
        or any((getattr(usage, name) or 0) > _MOST_CALLS for name in TOOL_COUNTS)
    )


def _without(usage: Usage, most_input: int, most_output: int) -> Usage:
    unknown = [name for name in TOOL_COUNTS if (getattr(usage, name) or 0) > _MOST_CALLS]
    if usage.input_tokens > most_input:
        unknown += [*INPUT_COUNTS, "cache_read_audio", "video_in"]
    if usage.output_tokens > most_output:
        unknown += OUTPUT_COUNTS
    return replace(usage, **dict.fromkeys(unknown))
