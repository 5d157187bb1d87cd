import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.ledger import records
from metering.usage import COUNTS, UsageRecord

text = st.text(st.characters(exclude_characters="\n", exclude_categories=["Cs"]))
number = st.integers(0, 2**53 - 1)
any_record = st.builds(
    UsageRecord,
    v=st.just(1),
    rev=st.integers(0, 9),
    **dict.fromkeys(["rid", "pid", "provider", "model", "variant", "basis", "outcome", "price_version"], text),
    **dict.fromkeys([*COUNTS, "cost", "charge", "started_ms", "settled_ms"], number),
    unpriced=st.integers(0, 1),
)


def entry_of(lines):
    parts = lines.split("\n")[:-1]
    return records.pairs([part.encode() for part in parts])


@given(any_record)
def test_a_record_comes_back_as_it_was(record):
    assert records.decode(entry_of(records.encode(record))) == record


def test_every_field_is_written(make_record):
    numbers = {
        field.name: index for index, field in enumerate(msgspec.structs.fields(UsageRecord), 2) if field.type is int
    }
    record = msgspec.structs.replace(make_record("r", "p"), **numbers)
    entry = entry_of(records.encode(record))
    assert sorted(name.decode() for name in entry) == sorted(records.FIELDS)
    assert records.decode(entry) == record


@given(any_record)
def test_counts_of_zero_are_left_out(record):
    names = {name.decode() for name in entry_of(records.encode(record))}
    assert {name for name in COUNTS if getattr(record, name)} == names & set(COUNTS)


@given(any_record)
def test_a_line_feed_cannot_forge_a_field(record):
    with pytest.raises(ValueError, match="line feed"):
        records.encode(msgspec.structs.replace(record, model="m\ncharge\n0"))


def test_fields_of_a_newer_version_are_passed_over(make_record):
    record = make_record("r", "p", in_uncached=4)
    entry = entry_of(records.encode(record)) | {b"invented": b"text"}
    assert records.decode(entry) == record


def test_a_record_from_before_unpriced_is_read_as_priced(make_record):
    record = make_record("r", "p", in_uncached=4)
    assert b"unpriced" not in entry_of(records.encode(record))
    assert records.decode(entry_of(records.encode(record))).unpriced == 0
    marked = msgspec.structs.replace(record, unpriced=1)
    assert entry_of(records.encode(marked))[b"unpriced"] == b"1"
    assert msgspec.json.decode(msgspec.json.encode({"v": 1} | without(record, "unpriced")), type=type(record)) == record


def without(record, name):
    fields = msgspec.structs.asdict(record)
    del fields[name]
    return fields


def test_tokens_count_every_bucket_once_and_no_calls(make_record):
    counts = {name: 10**index for index, name in enumerate(COUNTS)}
    calls = ("searches", "fetches", "code_runs")
    assert records.tokens(make_record("r", "p", **counts)) == sum(
        value for name, value in counts.items() if name not in calls
    )
