"""What is told of an exchange can hold no content, by its types; and the rules by which it is told."""

from __future__ import annotations

import itertools
import subprocess
import sys
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, NewType, Union, get_args, get_origin, get_type_hints

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.names import Closed, Rid, new_rid
from gateway.telemetry.genai import (
    MOST_SERIES,
    OPERATIONS,
    SECONDS,
    TOKENS,
    Distribution,
    EndedExchange,
    Measurements,
    SeriesKey,
    TokenCounts,
    TraceParent,
    is_sampled,
    provider_name,
    trace_parent,
)
from metering.usage import Basis, Outcome
from providers.dialect import Operation
from tests.gateway.config.parsing import model, parse

RID = Rid("req_" + "0a" * 16)
NUMBERS = (int, float, bool, NoneType)


def parts(kind: Any) -> set[Any]:
    """The types that a value of this one may be made of."""
    if get_origin(kind) in (Union, UnionType, tuple):
        return {part for argument in get_args(kind) if argument is not ... for part in parts(argument)}
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return {part for hint in get_type_hints(kind).values() for part in parts(hint)}
    return {kind}


def is_closed(kind: Any) -> bool:
    return kind in (*NUMBERS, Closed, Rid) or (isinstance(kind, type) and issubclass(kind, Enum))


def test_no_field_can_hold_a_text() -> None:
    found = parts(EndedExchange)
    assert {Closed, Rid, int, float, TokenCounts} - {TokenCounts} <= found
    assert [kind for kind in found if not is_closed(kind)] == []
    assert [kind for hint in get_type_hints(SeriesKey).values() for kind in parts(hint) if not is_closed(kind)] == []


@pytest.mark.parametrize(
    "kind", [str, bytes, str | None, dict[str, int], tuple[str, ...], NewType("Free", str), object]
)
def test_a_text_would_be_found(kind: Any) -> None:
    assert not all(map(is_closed, parts(kind)))


CALLS = """
from gateway.names import Closed, Rid
from gateway.telemetry.genai import EndedExchange
from providers.dialect import Operation

def calls(text: str, model: Closed, rid: Rid) -> None:
    EndedExchange(rid=rid, operation=Operation.OPENAI_CHAT, seconds=1.0, end_ns=1, model=model)
    {}
"""
REFUSED = [
    "EndedExchange(rid=text, operation=Operation.OPENAI_CHAT, seconds=1.0, end_ns=1)",
    "EndedExchange(rid=rid, operation=Operation.OPENAI_CHAT, seconds=1.0, end_ns=1, model=text)",
    "EndedExchange(rid=rid, operation=Operation.OPENAI_CHAT, seconds=1.0, end_ns=1, error=text)",
    "EndedExchange(rid=rid, operation=text, seconds=1.0, end_ns=1)",
    "EndedExchange(rid=rid, operation=Operation.OPENAI_CHAT, seconds=1.0, end_ns=1, prompt=text)",
]


def test_the_type_checker_refuses_text(tmp_path: Path) -> None:
    for index, call in enumerate(["pass", *REFUSED]):
        (tmp_path / f"call_{index}.py").write_text(CALLS.format(call))
    done = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--no-incremental", *map(str, sorted(tmp_path.glob("call_*.py")))],
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env={"MYPYPATH": ".", "PATH": "/usr/bin:/bin"},
        check=False,
    )
    refused = {line.split(":")[0].rsplit("/", 1)[1] for line in done.stdout.splitlines() if ": error:" in line}
    assert refused == {f"call_{index}.py" for index in range(1, len(REFUSED) + 1)}, done.stdout


def test_each_operation_has_a_name() -> None:
    assert OPERATIONS.keys() == set(Operation)


TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"


@pytest.mark.parametrize(
    ("header", "sampled"),
    [
        (f"00-{TRACE}-{SPAN}-01", True),
        (f"00-{TRACE}-{SPAN}-00", False),
        (f"00-{TRACE}-{SPAN}-fe", False),
        (f"cc-{TRACE}-{SPAN}-03-what-comes-later", True),
        (f"cc-{TRACE}-{SPAN}-03", True),
    ],
)
def test_a_parent(header: str, sampled: bool) -> None:
    assert trace_parent((header,)) == TraceParent(int(TRACE, 16), int(SPAN, 16), sampled)


@pytest.mark.parametrize(
    "headers",
    [
        (),
        ("",),
        (f"00-{TRACE}-{SPAN}-01", f"00-{TRACE}-{SPAN}-01"),
        (f"ff-{TRACE}-{SPAN}-01",),
        (f"00-{TRACE}-{SPAN}-01-more",),
        (f"00-{TRACE.upper()}-{SPAN}-01",),
        (f"00-{'0' * 32}-{SPAN}-01",),
        (f"00-{TRACE}-{'0' * 16}-01",),
        (f"00-{TRACE}-{SPAN}",),
        (f"00-{TRACE}-{SPAN}-1",),
        (f"00-{TRACE}-{SPAN}-01\n",),
        (f" 00-{TRACE}-{SPAN}-01",),
    ],
)
def test_what_is_no_parent(headers: tuple[str, ...]) -> None:
    assert trace_parent(headers) is None


@given(st.text(max_size=70))
def test_any_header_is_read(text: str) -> None:
    found = trace_parent((text,))
    assert found is None or (0 < found.trace < 1 << 128 and 0 < found.span < 1 << 64)


def test_the_share_of_exchanges_that_have_a_span() -> None:
    assert not any(is_sampled(new_rid(), None, 0.0) for _ in range(100))
    assert all(is_sampled(new_rid(), None, 1.0) for _ in range(100))
    share = sum(is_sampled(new_rid(), None, 0.25) for _ in range(4_000)) / 4_000
    assert 0.2 < share < 0.3
    assert is_sampled(RID, TraceParent(1, 1, sampled=True), 0.0)
    assert not is_sampled(RID, TraceParent(1, 1, sampled=False), 1.0)


@given(st.lists(st.floats(0, 1e6) | st.integers(0, 1 << 40), max_size=50), st.sampled_from([SECONDS, TOKENS]))
def test_a_value_is_in_the_bucket_whose_bounds_hold_it(values: list[float], bounds: tuple[float, ...]) -> None:
    found = Distribution(bounds)
    for value in values:
        found.add(value)
    edges = (float("-inf"), *bounds, float("inf"))
    assert found.counts == [sum(low < value <= high for value in values) for low, high in itertools.pairwise(edges)]
    assert found.total == pytest.approx(sum(values))


def exchange(**more: Any) -> EndedExchange:
    return EndedExchange(rid=RID, operation=Operation.OPENAI_CHAT, seconds=1.0, end_ns=10**18, **more)


def test_sums_are_kept_apart_by_names_and_error() -> None:
    sums = Measurements()
    counts = TokenCounts(inputs=7, cache_read=1, cache_write=2, outputs=3, reasoning=1, charge=9, basis=Basis.REPORTED)
    for _ in range(2):
        sums.add(exchange(model=Closed("m"), tokens=counts, first_chunk=0.5))
    sums.add(exchange(model=Closed("m"), error=Outcome.UPSTREAM_CUT))
    before = sums.copy()
    sums.add(exchange(model=Closed("m"), error=429))
    assert len(before) == 2
    assert len(sums.copy()) == 3
    whole = next(series for key, series in before.items() if key is not None and key.error is None)
    assert (sum(whole.duration.counts), whole.duration.total) == (2, 2.0)
    assert (sum(whole.first_chunk.counts), whole.first_chunk.total) == (2, 1.0)
    assert (whole.inputs.total, whole.outputs.total) == (14, 6)


def test_series_are_bounded() -> None:
    sums = Measurements()
    for number in range(MOST_SERIES + 50):
        sums.add(exchange(error=number))
    found = sums.copy()
    assert len(found) == MOST_SERIES + 1
    assert sum(found[None].duration.counts) == 50
    assert sum(sum(series.duration.counts) for series in found.values()) == MOST_SERIES + 50


PROVIDERS = {
    'kind = "openai"': "openai",
    'kind = "anthropic"': "anthropic",
    'kind = "google"': "gcp.gemini",
    'kind = "openai"\nprofile = "groq"': "groq",
    'kind = "openai"\nprofile = "mistral"': "mistral_ai",
    'kind = "openai"\nprofile = "vllm"': "mine",
    'kind = "openai"\nbase_url = "https://elsewhere.example/v1"': "mine",
    'kind = "azure"\nbase_url = "https://r.openai.azure.com"': "azure.ai.openai",
    'kind = "bedrock"\nlocation = "us-east-1"': "aws.bedrock",
}


@pytest.mark.parametrize(("table", "name"), PROVIDERS.items())
def test_a_provider_s_name_is_the_conventions_own_if_there_is_one(table: str, name: str) -> None:
    region = "us" if "us-east" in table else "global"
    text = f'[providers.mine]\n{table}\napi_keys = "k"\nretention_days = 0\ntraining = false\nregion = "{region}"\n'
    provider = parse(model().replace("openai", "mine"), provider=text).providers["mine"]
    found = provider_name(provider)
    assert (found.value if isinstance(found, Enum) else found) == name
