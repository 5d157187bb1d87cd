"""What looking for secrets costs for a megabyte of prompt: what holds none, and what is dense with them.

In the dense texts every second word is a candidate, of 900 different ones: more than any prompt has, and fewer than are
refused. ``read`` is what it takes to decode the same body, to compare with.
"""

from __future__ import annotations

import json
import random
import string
from collections.abc import Iterator
from functools import partial

import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from gateway.auth.identity import name_of_secret
from gateway.inference.detection import Search, Sought, detector
from providers.dialect import Family
from providers.masking.masking import Vault, mask
from providers.masking.places import REQUESTS

MEGABYTE = 1 << 20
DIFFERENT = 900
_NOTHING = ("prose", "code", "short_strings")
_WORDS = ["request", "is", "sent", "to", "a", "provider", "answer", "comes", "back", "in", "parts", "of", "stream"]
_CODE = "        const value{} = compute(options.request, {});  // returns the answer\n"
# The same texts in every run.
_DRAWN = random.Random(7)


def _letters(count: int, of: str = string.ascii_letters + string.digits) -> str:
    return "".join(_DRAWN.choices(of, k=count))


def _candidate(kind: str) -> str:
    match kind:
        case "addresses":
            return f"{_letters(6)}@{_letters(4)}.example.com"
        case "short_addresses":
            return f"{_letters(2)}@{_letters(2)}.io"
        case "aws_keys":
            return "AKIA" + _letters(16, string.ascii_uppercase + string.digits)
        case "github_tokens":
            return "ghp_" + _letters(36)
        case "cards":
            return _DRAWN.choice(("4111 1111 1111 1111", "5555555555554444", "378282246310005"))
        case "telephones":
            return f"+49 30 {_DRAWN.randrange(10**6, 10**7)}"
        case "passwords":
            return f"https://ada:{_letters(12)}@mail.example.org/x"
        case _:
            return str(_DRAWN.randrange(10**11, 10**16))


CANDIDATES = (
    *("addresses", "short_addresses", "aws_keys", "github_tokens", "cards", "telephones", "passwords", "numbers"),
)


def _pieces(kind: str) -> Iterator[str]:
    if kind == "code":
        yield from (_CODE.format(number, number) for number in range(MEGABYTE // len(_CODE)))
    elif kind == "prose":
        yield from (f"{_DRAWN.choice(_WORDS)} " for _ in range(MEGABYTE // 2))
    else:
        drawn = [_candidate(kind) for _ in range(DIFFERENT)]
        yield from (f"{_DRAWN.choice(_WORDS)} {_DRAWN.choice(drawn)} " for _ in range(MEGABYTE // 8))


def _body(kind: str) -> bytes:
    if kind == "short_strings":
        return json.dumps({"model": "m", "input": [_letters(8) for _ in range(MEGABYTE // 12)]}).encode()
    text = "".join(_pieces(kind))[:MEGABYTE]
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text}]}).encode()


@pytest.mark.parametrize("kind", [*_NOTHING, *CANDIDATES])
def test_search(benchmark: BenchmarkFixture, kind: str) -> None:
    body, found = _body(kind), detector(frozenset(Sought))

    def search() -> Vault:
        vault = Vault(partial(name_of_secret, b"k" * 32, "p"))
        mask(body, Search(found), vault, REQUESTS[Family.OPENAI])
        return vault

    vault = benchmark(search)
    assert bool(len(vault)) is (kind not in _NOTHING)


def test_read(benchmark: BenchmarkFixture) -> None:
    body = _body("prose")
    assert benchmark(partial(json.loads, body))["model"] == "m"
