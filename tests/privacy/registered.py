"""A marker in every member that the register knows, of every operation.

What is removed or replaced must not reach the provider; what is refused or passes must be written nowhere. Members that
pass go together in one request; where that is refused, its halves go by themselves, so that a value of the wrong kind in
one member hides no other.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from providers.dialect import Family, Operation
from providers.document.strings import snake
from providers.members.decision import Decision, Table
from providers.members.register import REGISTER
from tests.integration.conftest import prompt
from tests.privacy.stage import Stage
from tests.raw_http import Answer, request

Path = tuple[str, ...]
NAME = "a marker in each member of the register"
KEPT = frozenset({Decision.STRIP, Decision.PSEUDONYM, Decision.CACHE_KEY})  # from the provider
SENT_ONLY = frozenset({Operation.OPENAI_FILL_IN})  # how some hosts are asked: no caller's path leads there
TURN = {"parts": [{"text": "hello"}]}
ASKED: dict[Operation, tuple[str, dict[str, Any]]] = {
    Operation.OPENAI_CHAT: ("/v1/chat/completions", json.loads(prompt("openai", stream=False)[1])),
    Operation.OPENAI_COMPLETIONS: ("/v1/completions", {"model": "openai-plain", "prompt": "hello"}),
    Operation.OPENAI_EMBEDDINGS: ("/v1/embeddings", {"model": "openai-plain", "input": "hello"}),
    Operation.OPENAI_RESPONSES: ("/v1/responses", {"model": "openai-plain", "input": "hello"}),
    Operation.OPENAI_COMPACT: ("/v1/responses/compact", {"model": "openai-plain", "input": "hello"}),
    Operation.OPENAI_INPUT_TOKENS: ("/v1/responses/input_tokens", {"model": "openai-plain", "input": "hello"}),
    Operation.ANTHROPIC_MESSAGES: ("/v1/messages", json.loads(prompt("anthropic", stream=False)[1])),
    Operation.ANTHROPIC_COUNT_TOKENS: (
        "/v1/messages/count_tokens",
        {"model": "anthropic-plain", "messages": [{"role": "user", "content": "hello"}]},
    ),
    Operation.GEMINI_GENERATE: ("/v1beta/models/google-plain:generateContent", {"contents": [TURN]}),
    Operation.GEMINI_STREAM: ("/v1beta/models/google-plain:streamGenerateContent?alt=sse", {"contents": [TURN]}),
    Operation.GEMINI_COUNT_TOKENS: ("/v1beta/models/google-plain:countTokens", {"contents": [TURN]}),
    Operation.GEMINI_EMBED: ("/v1beta/models/google-plain:embedContent", {"content": TURN}),
    Operation.GEMINI_BATCH_EMBED: (
        "/v1beta/models/google-plain:batchEmbedContents",
        {"requests": [{"model": "models/google-plain", "content": TURN}]},
    ),
}


def members(stage: Stage) -> None:
    """Every member of every operation, and one that no table knows."""
    assert ASKED.keys() == REGISTER.keys() - SENT_ONLY
    tried: set[tuple[Family, Path]] = set()  # what passes or is refused is alike in all operations of an API
    for operation, (_, base) in ASKED.items():
        table = REGISTER[operation]
        decided = {path: decision for path, decision in _paths(table) if path[0] not in base}
        session = _Session(stage, operation)
        for spelled in _spellings(operation, decided):
            kept = [path for path in spelled if decided[path] in KEPT]
            answer = session.ask([*kept, (session.plant("identity: unknown member"),)], "identity: member")
            assert answer is not None
            assert answer.status == 200, (operation, answer.body)
            rest = {(operation.family, path) for path in spelled if path not in kept} - tried
            tried |= rest
            session.ask_all(sorted(path for _, path in rest))


def _paths(table: Table, above: Path = ()) -> Iterator[tuple[Path, Decision]]:
    for name, member in table.items():
        path = (*above, name)
        if member.inside is not None:
            yield from _paths(member.inside, path)
        else:
            yield path, member.decision


def _spellings(operation: Operation, paths: Iterable[Path]) -> Iterator[list[Path]]:
    """Gemini's API takes names in two spellings, but not both in one request."""
    if operation.family is not Family.GOOGLE:
        yield list(paths)
        return
    yield [path for path in paths if not any("_" in name for name in path)]
    yield [path for path in paths if all(name == snake(name) for name in path)]


class _Session:
    """Requests of one operation, by an account of its own: what nobody pays for has a rate."""

    def __init__(self, stage: Stage, operation: Operation) -> None:
        self._stage = stage
        self._path, self._base = ASKED[operation]
        self._auth = {"authorization": "Bearer " + stage.session(f"members of {operation}")["access_token"]}
        self._name = f"{NAME} of {operation}"

    def plant(self, place: str) -> str:
        return self._stage.canaries.plant(place, self._name)

    def ask(self, paths: Sequence[Path], place: str) -> Answer | None:
        body = json.loads(json.dumps(self._base))
        for path in paths:
            inner = body
            for name in path[:-1]:
                inner = inner.setdefault(name, {})
            inner[path[-1]] = self.plant(place)
        return self._stage.ask(request("POST", self._path, json.dumps(body).encode(), headers=self._auth))

    def ask_all(self, paths: Sequence[Path]) -> None:
        if not paths:
            return
        answer = self.ask(paths, "member")
        if len(paths) > 1 and (answer is None or answer.status != 200):
            self.ask_all(paths[: len(paths) // 2])
            self.ask_all(paths[len(paths) // 2 :])
