"""What a request may cost: the usual cost, the worst case, and the output limit that an amount of credit pays. Pure.

Rules:

1. Each figure is for the most expensive target that may answer.
2. The worst case is the bound of the input at the highest rate that may apply, the longest possible answer in each of
   its choices, and all calls of tools at the provider that it allows; in the requested service tier or in the standard
   one, to which a provider may fall back.
3. A host is not trusted to obey a lowered limit: the wire states the limit, and the ledger grants no more than the
   worst case of that limit.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from msgspec.structs import replace

from gateway.catalog.catalog import CatalogTarget, Model
from gateway.catalog.naming import text_only
from metering.pricing import Line, line
from metering.usage import STANDARD, Variant
from providers.dialect import Family, Head
from providers.measures import Kind
from providers.tools.catalog import TOOLS_BY_ID

# Until a model's own p99 is learnt, this many output tokens are held if the request's limit is higher. Every model that
# generates takes it as a limit.
USUAL_OUTPUT = 4_096
# The longest answer of a model of which neither the output limit nor the context window is known.
UNKNOWN_OUTPUT = 131_072
# Tokens that a model which reasons needs for an answer that is of any use.
LEAST_REASONING = 256
# Calls of each of the provider's tools, if the request does not limit them: Anthropic's loop pauses after 10.
MOST_CALLS = 10


class Costs:
    """What one request costs by the output tokens of each of its choices, in micro-credits."""

    __slots__ = ("_usual", "_worst")

    def __init__(
        self,
        targets: Sequence[CatalogTarget],
        head: Head,
        tokens: int,
        further: Sequence[tuple[CatalogTarget, Variant]] = (),
    ) -> None:
        """``tokens`` is the bound of the input; ``further`` are the further models that may answer, as asked for."""
        usual: list[Line] = []
        worst: list[Line] = []
        unread = _unread(head)
        asked = [*((target, head.variant) for target in targets), *further]
        for target, stated in {(id(target.price), variant): (target, variant) for target, variant in asked}.values():
            calls = calls_of(target, head)
            usual.append(line(target.price, stated, input_tokens=tokens, choices=head.choices, calls=calls))
            times = most_calls(head)
            text = text_only(target.provider.family, target.model) if head.text_only is None else head.text_only
            worst += [
                line(
                    target.price,
                    variant,
                    input_tokens=tokens,
                    choices=head.choices,
                    calls=calls,
                    times=times,
                    worst=True,
                    unread=unread,
                    text_out=text,
                )
                for variant in ((STANDARD,) if stated == STANDARD else (stated, STANDARD))
            ]
        self._usual = usual
        self._worst = worst

    def usual(self, output: int) -> int:
        """For ``output`` tokens, and one call of each of its tools."""
        return max(line.amount(output) for line in self._usual)

    def worst(self, output: int) -> int:
        """At most, for ``output`` tokens."""
        return max(line.amount(output) for line in self._worst)

    def output(self, amount: int, most: int) -> int:
        """The output tokens, ``most`` at most, that cost no more than ``amount`` in the worst case."""
        paid = [output for line in self._worst if (output := line.output(amount)) is not None]
        return min([most, *paid])


def calls_of(target: CatalogTarget, head: Head) -> tuple[str, ...]:
    """The counts of calls, or parts of them, that a request switches on at a target, each once."""
    if not head.server_tools and not target.searches:
        return ()
    units = {unit for tool in head.server_tools if (unit := TOOLS_BY_ID[tool].unit)}
    return tuple(sorted(units | {"searches"} if target.searches else units))


_OF_MEDIA: Final = {
    "image_in": frozenset(Kind),
    "audio_in": frozenset((Kind.AUDIO, Kind.VIDEO, Kind.OTHER)),
    "cache_read_audio": frozenset((Kind.AUDIO, Kind.VIDEO, Kind.OTHER)),
    "video_in": frozenset((Kind.VIDEO, Kind.OTHER)),
}


def _unread(head: Head) -> tuple[str, ...]:
    """The counts of media that the request cannot have: an image is not billed as sound."""
    kinds = {medium.kind for medium in head.weight.media}
    return tuple(name for name, of in _OF_MEDIA.items() if of.isdisjoint(kinds))


def most_calls(head: Head) -> int:
    """How often each of the provider's tools can be called. A model that always searches does so once."""
    if not head.server_tools:
        return 1
    return MOST_CALLS if head.most_calls is None else head.most_calls


def longest_output(head: Head, model: Model, tokens: int, further: Mapping[str, Model]) -> int:
    """The longest answer that one choice can get, in tokens, of whichever model answers.

    Args:
        head: The request's.
        model: What it asks for.
        tokens: The bound of the input.
        further: The further models that it names, by their names there.
    """
    longest = most_output(head, model, tokens)
    for one in head.further:
        limit = head.output_limit if one.output_limit is None else one.output_limit
        longest = max(longest, most_output(replace(head, output_limit=limit), further[one.name], tokens))
    return longest


def most_output(head: Head, model: Model, tokens: int) -> int:
    """The longest answer that one choice can get of one model, in tokens; ``tokens`` is the bound of the input.

    An operation that takes no limit (compaction) answers with no more than it reads, and what is usual.
    """
    asked = head.output_limit
    if asked is not None:
        return min(asked, model.max_output) if model.max_output else asked
    ceiling = model.max_output or model.context_window or UNKNOWN_OUTPUT
    return ceiling if head.least_output is not None else min(ceiling, tokens + USUAL_OUTPUT)


def least_output(head: Head, targets: Sequence[CatalogTarget], most: int) -> int:
    """The lowest output limit that is of any use; ``most`` if the request takes no limit."""
    if head.least_output is None:
        return most
    thinks = head.weight.thinks and any(
        target.reasons or target.provider.family is Family.ANTHROPIC for target in targets
    )
    return min(most, max(head.least_output, LEAST_REASONING if thinks else 0))


def stated_limit(head: Head, model: Model, tokens: int, limit: int) -> int:
    """The limit to send instead of the request's own, if its credit pays ``limit`` tokens of output.

    A limit that the request itself did not state must be one that the model takes: APIs reject a limit above the
    model's own, and some reject one that does not fit into the context window beside the input.
    """
    if head.output_limit is not None:
        return limit
    limit = min(limit, model.max_output or USUAL_OUTPUT, head.unstated_output or limit)
    room = (model.context_window or 0) - tokens
    return min(limit, room) if room > LEAST_REASONING else limit
