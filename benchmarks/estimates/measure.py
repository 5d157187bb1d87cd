"""Compares the estimates with the counts, and prints the tables of docs/billing.md."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import median, quantiles

from benchmarks.estimates.recordings import Exchange, exchanges
from gateway.inference.estimate import of_input, reasoning
from metering.learning import LATENCY_MS
from providers.answers.events import EventStream
from providers.dialect import Head, Operation, Refusal
from providers.measures import Kind, Weight
from providers.steps import at_once
from providers.wires import WIRES

_APIS = {
    Operation.OPENAI_CHAT: "OpenAI chat",
    Operation.OPENAI_RESPONSES: "OpenAI responses",
    Operation.OPENAI_COMPLETIONS: "OpenAI completions",
    Operation.OPENAI_EMBEDDINGS: "OpenAI embeddings",
    Operation.ANTHROPIC_MESSAGES: "Anthropic messages",
    Operation.GEMINI_GENERATE: "Gemini generate",
    Operation.GEMINI_STREAM: "Gemini generate",
    Operation.GEMINI_EMBED: "Gemini embeddings",
    Operation.GEMINI_BATCH_EMBED: "Gemini embeddings",
}
_FEWEST = 5
_SHORTEST_REASONING = 200
_SHORTEST_OUTPUT = 5
_RESULT = b'_tool_result"'
_CALLED = (b'"tool_calls"', b'"function_call"', b'"tool_use"', b'"functionCall"')


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table: how estimate divided by count is distributed.

    Attributes:
        api: Whose.
        what: Of which kind of request.
        ratios: Estimate divided by count, of each.
        bounds: Bound divided by count, of each; empty where there is none.
    """

    api: str
    what: str
    ratios: tuple[float, ...]
    bounds: tuple[float, ...] = ()

    @property
    def middle(self) -> float:
        return median(self.ratios)

    @property
    def within(self) -> float:
        """The share that is within half of the count."""
        return sum(0.5 <= ratio <= 1.5 for ratio in self.ratios) / len(self.ratios)

    def line(self) -> str:
        low, *_, high = quantiles(self.ratios, n=40, method="inclusive")
        exceeded = sum(bound < 1 for bound in self.bounds) / len(self.bounds) if self.bounds else None
        cells = [
            self.api,
            self.what,
            str(len(self.ratios)),
            f"{self.middle:.2f}",
            f"{low:.2f} to {high:.2f}",
            f"{self.within:.1%}",
            "" if exceeded is None else f"{1 - exceeded:.1%}",
        ]
        return "| " + " | ".join(cells) + " |"


HEADING = """| API | requests | number | median | 95 % lie in | within 0.5 to 1.5 | bound holds |
|---|---|---|---|---|---|---|"""


def kind_of(weight: Weight, *, served: bool) -> str:
    """Which line a request belongs to."""
    if served:
        return "tools at the provider"
    if weight.media:
        if any(medium.kind is not Kind.IMAGE for medium in weight.media):
            return "documents, audio, video"
        return "images" if all(medium.size for medium in weight.media) else "images by address"
    if weight.tools or weight.calls:
        return "tools"
    return "text"


def inputs(found: Iterable[Exchange], *, first_party: bool = True) -> list[Row]:
    """Estimated input divided by reported input; a request that several projects recorded counts once."""
    cells: dict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    seen: set[tuple[Operation, str, bytes]] = set()
    for exchange in found:
        api = _APIS.get(exchange.operation)
        count = exchange.input_tokens
        if exchange.first_party is not first_party or exchange.request is None or api is None or not count:
            continue
        request = (exchange.operation, exchange.model, exchange.request)
        if request in seen:
            continue
        seen.add(request)
        try:
            head = at_once(WIRES[exchange.operation].read(exchange.request, "model"))
        except Refusal:
            continue
        estimate = of_input(head.weight, exchange.operation, [exchange.model], tools=head.server_tools)
        kind = kind_of(head.weight, served=bool(head.server_tools))
        cells[api, kind].append((estimate.expected.tokens / count, estimate.bound / count))
    return [
        Row(api, kind, tuple(ratio for ratio, _ in both), tuple(bound for _, bound in both))
        for (api, kind), both in sorted(cells.items())
        if len(both) >= _FEWEST
    ]


def read_results(found: Iterable[Exchange]) -> list[Row]:
    """Input of streams that were cut before their provider stated it, results of its tools included, divided by what
    was reported.
    """
    head = Head(model="m", stream=True, server_tools=frozenset({"anthropic_web_search"}))
    ratios = []
    for exchange in found:
        before, stated, _ = exchange.answer.partition(b"event: message_delta")
        if exchange.operation is not Operation.ANTHROPIC_MESSAGES or not stated or _RESULT not in before:
            continue
        scanner = WIRES[exchange.operation].scanner(head, sse=True)
        scanner.feed(before)
        usage = scanner.report().usage
        if usage is not None and exchange.input_tokens:
            ratios.append(usage.input_tokens / exchange.input_tokens)
    return [Row("Anthropic messages", "results of tools at the provider", tuple(ratios))] if ratios else []


def outputs(found: Iterable[Exchange]) -> list[Row]:
    """Output of whole streams by what passed, divided by what was reported; what was reasoned unseen is left out."""
    cells: dict[tuple[str, str], list[float]] = defaultdict(list)
    for exchange in found:
        api = _APIS.get(exchange.operation)
        visible = exchange.output_tokens - exchange.reasoning_tokens
        if not (exchange.streamed and exchange.first_party and api) or visible < _SHORTEST_OUTPUT:
            continue
        scanner = WIRES[exchange.operation].scanner(Head(model=exchange.model, stream=True), sse=True)
        assert isinstance(scanner, EventStream)
        scanner.feed(exchange.answer)
        tokens = EventStream.estimated_output(scanner)
        if tokens:
            called = any(mark in exchange.answer for mark in _CALLED)
            cells[api, "streams with calls of tools" if called else "streams of text"].append(tokens / visible)
    return [Row(api, kind, tuple(ratios)) for (api, kind), ratios in sorted(cells.items()) if len(ratios) >= _FEWEST]


def hidden(found: Iterable[Exchange]) -> list[Row]:
    """Output of whole answers of reasoning models, estimated by the time that the provider says it worked and the
    usual speed of the model's other answers.
    """
    models: dict[str, list[tuple[int, float]]] = defaultdict(list)
    for exchange in found:
        if exchange.reasoning_tokens and exchange.processing_ms > 1_000 and not exchange.streamed:
            models[exchange.model.partition("-20")[0]].append((exchange.output_tokens, exchange.processing_ms))
    rows = []
    for model, answers in sorted(models.items()):
        ratios = []
        for index, (tokens, milliseconds) in enumerate(answers):
            if tokens < _SHORTEST_REASONING:
                continue
            others = [count * 1_000 / (ms - LATENCY_MS) for place, (count, ms) in enumerate(answers) if place != index]
            if len(others) >= _FEWEST:
                ratios.append(reasoning(round(milliseconds), round(median(others))) / tokens)
        if len(ratios) >= _FEWEST:
            rows.append(Row("reasoning by time", model, tuple(ratios)))
    if rows:
        rows.append(Row("reasoning by time", "all", tuple(ratio for row in rows for ratio in row.ratios)))
    return rows


def report(corpus: Path, write: Callable[[str], None] = print) -> None:
    """Print every table."""
    found = list(exchanges(corpus))
    for title, rows in (
        ("Input, the APIs' own hosts", inputs(found)),
        ("Input, compatible hosts", inputs(found, first_party=False)),
        ("Input of streams that were cut", read_results(found)),
        ("Output of streams", outputs(found)),
        ("Reasoning", hidden(found)),
    ):
        write(f"\n{title}\n\n{HEADING}")
        for row in rows:
            write(row.line())
