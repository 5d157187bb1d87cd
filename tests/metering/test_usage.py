from __future__ import annotations

import re
from pathlib import Path

import pytest

from metering.usage import (
    COUNTS,
    INPUT_COUNTS,
    OUTPUT_COUNTS,
    PARTS,
    Geography,
    ServiceTier,
    Speed,
    Usage,
    UsageRecord,
    Variant,
)


def test_unknown_is_not_zero_until_it_is_settled() -> None:
    usage = Usage(in_uncached=0, out_visible=5)
    assert (usage.in_uncached, usage.cache_read) == (0, None)
    settled = usage.settled()
    assert all(getattr(settled, name) is not None for name in COUNTS)
    assert usage.cache_read is None


def test_parts_are_settled_and_change_no_total() -> None:
    usage = Usage(in_uncached=5, video_in=3, searches=2, map_searches=1).settled()
    assert (usage.video_in, usage.map_searches, usage.cache_read_audio) == (3, 1, 0)
    assert usage.input_tokens == 5


def test_totals_are_the_sums_of_disjoint_buckets() -> None:
    usage = Usage(**{name: index + 1 for index, name in enumerate(COUNTS)})
    assert usage.input_tokens == sum(range(1, len(INPUT_COUNTS) + 1))
    assert usage.output_tokens == sum(getattr(usage, name) for name in OUTPUT_COUNTS)
    assert set(INPUT_COUNTS) | set(OUTPUT_COUNTS) | {"searches", "fetches", "code_runs"} == set(COUNTS)


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        (Variant(), "standard"),
        (Variant(ServiceTier.PRIORITY), "priority"),
        (Variant(speed=Speed.FAST), "standard.fast"),
        (Variant(ServiceTier.BATCH, Speed.FAST, Geography.US), "batch.fast.us"),
    ],
)
def test_a_variant_is_a_closed_name(variant: Variant, text: str) -> None:
    assert str(variant) == text


def test_the_record_holds_every_count_and_nothing_that_is_text_of_a_caller() -> None:
    fields = UsageRecord.__struct_fields__
    assert [name for name in fields if name in COUNTS] == list(COUNTS)
    assert not set(fields) & set(PARTS)
    assert set(PARTS.values()) <= set(COUNTS)
    assert set(Usage.__struct_fields__) == {*COUNTS, *PARTS}
    texts = {name for name, kind in UsageRecord.__annotations__.items() if kind == "str"}
    assert texts == {"rid", "pid", "provider", "model", "variant", "basis", "outcome", "price_version"}


def test_what_a_credit_holds_is_written_once() -> None:
    root = Path(__file__).parents[2]
    sources = [path for folder in ("gateway", "metering", "providers") for path in (root / folder).rglob("*.py")]
    again = re.compile(r"^_?MICRO_?CREDITS\b.* = ", re.MULTILINE)
    assert [str(path.relative_to(root)) for path in sources if again.search(path.read_text())] == ["metering/usage.py"]
