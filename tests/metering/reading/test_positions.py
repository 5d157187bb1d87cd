import pytest

from metering.reading.positions import before, floors, format_id, parse_id, positions

STREAM = "m:{7}:usage"


@pytest.mark.parametrize("text", ["0-0", "1700000000000-0", "1700000000000-18446744073709551615"])
def test_ids_come_back_as_they_were(text):
    assert format_id(parse_id(text)) == text
    assert parse_id(text.encode()) == parse_id(text)


def test_the_id_before():
    assert before((5, 3)) == (5, 2)
    assert before((5, 0)) == (4, 2**64 - 1)


async def test_booked_ends_before_the_oldest_that_is_pending(store):
    for number in range(1, 6):
        await store.client.xadd(STREAM, {"n": number}, id=f"{number}-0")
    assert await positions(store, range(256)) == []
    await store.client.xgroup_create(STREAM, "one", id="0")
    await store.client.xgroup_create(STREAM, "two", id="3-0")
    await store.client.xreadgroup("one", "c", {STREAM: ">"}, count=4)
    await store.client.xack(STREAM, "one", "1-0", "3-0")
    found = await positions(store, range(256))
    assert {p.group: p.booked for p in found} == {"one": (1, 2**64 - 1), "two": (3, 0)}
    assert floors(found) == {7: (1, 2**64 - 1)}
    await store.client.xack(STREAM, "one", "2-0", "4-0")
    assert floors(await positions(store, range(256))) == {7: (3, 0)}
