"""``python -m tests.corpus.pairs``: the recordings through every pair of dialects, by feature.

A request passes if what was written for the other dialect is read back as it was fitted; an answer, if the streamed and
the whole form say what the recorded one said. A cell has how many passed; ``r`` is how many were refused, since the
other dialect has no place for something; ``F`` how many did not pass, which makes the command exit with 1.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Iterator
from itertools import product

from providers.conversation.conversation import (
    Cited,
    Conversation,
    Dialect,
    Event,
    File,
    Image,
    Probabilities,
    Reasoning,
    ReasoningDelta,
    RefusalDelta,
    Sealed,
    TextDelta,
    ToolResult,
    ToolStart,
    ToolUse,
)
from providers.conversation.dialects import (
    Capabilities,
    answer_reader,
    answer_writer,
    read_request,
    write_answer,
    write_request,
)
from providers.conversation.fitting import fit
from providers.dialect import Refusal
from tests.corpus.test_translation import EVERY, joined, plain, read, recordings, said

PASSED, REFUSED, FAILED = "", "r", "F"
SHORT = {Dialect.CHAT: "C", Dialect.RESPONSES: "R", Dialect.MESSAGES: "M", Dialect.GEMINI: "G"}
PAIRS = [f"{SHORT[one]}>{SHORT[two]}" for one, two in product(Dialect, Dialect)]


def asked(conversation: Conversation) -> Iterator[str]:
    """The features that a request has."""
    yield "request: any"
    parts = [part for turn in conversation.turns for part in turn.parts]
    kinds = {type(part) for part in parts}
    calls = [sum(isinstance(part, ToolUse) for part in turn.parts) for turn in conversation.turns]
    results = [part for part in parts if isinstance(part, ToolResult)]
    sampling = conversation.sampling
    for name, has in (
        ("instructions", conversation.system),
        ("several turns", len(conversation.turns) > 1),
        ("images", Image in kinds),
        ("documents and sound", File in kinds),
        ("tools", conversation.tools),
        ("free-form tools", any(tool.one_text or tool.grammar for tool in conversation.tools)),
        ("strict tools", any(tool.strict for tool in conversation.tools)),
        ("tool choice", conversation.use),
        ("calls", ToolUse in kinds),
        ("parallel calls", max(calls, default=0) > 1),
        ("results", results),
        ("results with images or files", any(result.images or result.files for result in results)),
        ("reasoning of an earlier turn", Reasoning in kinds),
        ("its signature", any(isinstance(part, Reasoning) and part.seal for part in parts)),
        ("reasoning asked for", conversation.reasoning or conversation.effort or conversation.budget),
        ("an answer of a schema", conversation.schema),
        ("an answer in JSON", conversation.json),
        ("stop sequences", sampling.stop),
        ("probabilities", sampling.probabilities is not None),
        ("a seed", sampling.seed is not None),
        ("prompt-cache markers", conversation.cache),
        ("a stream", conversation.stream),
    ):
        if has:
            yield f"request: {name}"


def answered(events: list[Event]) -> Iterator[str]:
    """The features that an answer has."""
    yield "answer: any"
    kinds = Counter(type(event) for event in events)
    for name, kind in (
        ("text", TextDelta),
        ("shown reasoning", ReasoningDelta),
        ("signed reasoning", Sealed),
        ("a call", ToolStart),
        ("citations", Cited),
        ("a refusal", RefusalDelta),
        ("probabilities", Probabilities),
    ):
        if kinds[kind]:
            yield f"answer: {name}"
    if kinds[ToolStart] > 1:
        yield "answer: parallel calls"


def of_request(conversation: Conversation, target: Dialect) -> str:
    """What became of a request that goes to another dialect."""
    try:
        fitted, _ = fit(conversation, target, output_limit=32_000, carried=EVERY)
    except Refusal:
        return REFUSED
    body = write_request(target, fitted, "m", Capabilities(0))
    return PASSED if plain(read_request(target, body, stream=fitted.stream)) == plain(fitted) else FAILED


def of_answer(events: list[Event], target: Dialect) -> str:
    """What became of an answer that is told in another dialect."""
    ask = Conversation(turns=(), reasoning=True)
    writer = answer_writer(target, ask, "id1", "m")
    stream = b"".join(writer.write([event]) for event in events) + writer.end()
    whole = write_answer(target, ask, events, "id1", "m")
    expected = said(events, target)
    reader = answer_reader(target, ["charlie"])
    streamed = reader.feed(stream)
    streamed += [] if reader.done else reader.finish()
    if whole is None or joined(said(streamed, target)[0]) != joined(expected[0]):
        return FAILED
    both = said(streamed, target)[1:], said(answer_reader(target, ["charlie"]).whole(whole), target)[1:]
    return PASSED if both == (expected[1:], expected[1:]) else FAILED


def tally(most: int | None = None) -> Counter[tuple[str, str, str]]:
    """By feature, pair and outcome, how many recordings; of the first ``most``, if given."""
    found: Counter[tuple[str, str, str]] = Counter()
    for number, (dialect, recording) in enumerate(recordings()):
        if number == most:
            break
        ask = recording.record["request_body"]
        if not recording.good:
            continue
        try:
            conversation = read_request(dialect, json.dumps(ask).encode()) if isinstance(ask, dict) else None
        except Refusal:
            conversation = None  # of something that the hub has no place for, in any dialect
        events = read(dialect, recording)
        for target in Dialect:
            pair = f"{SHORT[dialect]}>{SHORT[target]}"
            if conversation is not None:
                outcome = of_request(conversation, target)
                found.update((feature, pair, outcome) for feature in asked(conversation))
            if events is not None:
                outcome = of_answer(events, target)
                found.update((feature, pair, outcome) for feature in answered(events))
    return found


def table(found: Counter[tuple[str, str, str]]) -> Iterator[str]:
    """The lines of the report."""
    features = list(dict.fromkeys(sorted((feature for feature, _, _ in found), key=lambda name: (name[0] == "a", 0))))
    yield " " * 40 + "".join(f"{pair:>9}" for pair in PAIRS)
    for feature in features:
        cells = []
        for pair in PAIRS:
            counts = [(found[feature, pair, outcome], outcome) for outcome in (PASSED, REFUSED, FAILED)]
            cells.append(" ".join(f"{count}{outcome}" for count, outcome in counts if count) or "-")
        yield f"{feature:<40}" + "".join(f"{cell:>9}" for cell in cells)


def main() -> int:
    found = tally()
    print("C chat, R responses, M messages, G Gemini; passed, r refused, F failed\n")
    print("\n".join(table(found)))
    failed = sum(count for (_, _, outcome), count in found.items() if outcome == FAILED)
    total = sum(count for (feature, _, _), count in found.items() if feature.endswith(": any"))
    print(f"\n{total} translations of recordings, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
