"""What happens to the older request of a lane, in this worker and in another one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from multidict import CIMultiDict

from gateway.auth.announcements import Announcement, Listener, Topic
from gateway.errors import GatewayError, InvalidRequest, Superseded
from gateway.inference import lanes
from gateway.inference.lanes import Lanes
from metering.ledger.ledger import Refused, Reserved
from metering.store.store import open_store
from metering.usage import Outcome

SID = "s" * 20


class Request:
    def __init__(self) -> None:
        self.stopped: list[tuple[str, Outcome]] = []

    def stop(self, error: GatewayError, outcome: Outcome) -> None:
        self.stopped.append((error.code, outcome))


ENDED = [("superseded", Outcome.SUPERSEDED)]


@pytest.mark.parametrize(("value", "slot"), [("0", 0), ("7", 7), ("65535", 65_535), ("00007", 7)])
def test_a_slot(value: str, slot: int) -> None:
    assert lanes.slot_of(CIMultiDict({"X-Supersede-Key": value})) == slot
    assert lanes.slot_of(CIMultiDict()) is None


@pytest.mark.parametrize("value", ["", "65536", "-1", "1.0", "0x1", " 1", "1\u0662", "999999", "a"])
def test_what_is_no_slot_is_refused(value: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        lanes.slot_of(CIMultiDict({lanes.HEADER: value}))
    assert value == "" or value not in caught.value.message
    with pytest.raises(InvalidRequest):
        lanes.slot_of(CIMultiDict([(lanes.HEADER, "1"), (lanes.HEADER, "1")]))


async def answer(decision: Reserved | Refused) -> Reserved | Refused:
    return decision


async def test_the_newer_request_ends_the_older_one_of_its_lane_alone(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    keeper, one, two, other = Lanes(store.client), Request(), Request(), Request()
    assert keeper.take(SID, 1, "r1", one).here == ""
    assert keeper.take(SID, 2, "r2", other).here == ""
    assert keeper.take(SID, 1, "r3", two).here == "r1"
    assert (one.stopped, two.stopped, other.stopped) == (ENDED, [], [])
    keeper.leave(SID, 1, "r1")  # the older one's end frees nothing
    assert keeper.running[SID, 1] == ("r3", two)
    keeper.leave(SID, 1, "r3")
    assert keeper.take(SID, 1, "r4", Request()).here == "r3"  # it ended, but it was here: nobody else need hear
    await store.close()


async def test_an_older_request_that_was_longer_on_its_way_ends_no_newer_one(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    keeper, newer, tie = Lanes(store.client), Request(), Request()
    keeper.take(SID, 1, "req_00000000000b-a", newer)
    with pytest.raises(Superseded):
        keeper.take(SID, 1, "req_00000000000a-z", Request())
    keeper.leave(SID, 1, "req_00000000000a-z")
    assert newer.stopped == []
    assert keeper.take(SID, 1, "req_00000000000b-0", tie).here == "req_00000000000b-a"  # of one millisecond the last
    assert (newer.stopped, tie.stopped) == (ENDED, [])
    await store.close()


async def test_an_announcement_ends_the_request_it_names_and_no_newer_one(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    here, there, mine = Lanes(store.client), Lanes(store.client), Request()
    listener, heard = Listener(store.endpoint), asyncio.Event()
    listener.on(Topic.SUPERSEDED, there.end)
    listener.on(Topic.SUPERSEDED, lambda announced: heard.set() if announced.slot == 9 else None)
    await listener.start()
    there.take(SID, 1, "r1", mine)
    taken = here.take(SID, 1, "r9", Request())
    for replaced in ("", "r0"):
        await taken.reserve(answer(Reserved(1, 0, 1, 1, (), replaced)))
    own = here.take(SID, 1, "r9a", Request())
    await own.reserve(answer(Reserved(1, 0, 1, 1, (), "r9")))  # its own: not announced
    await taken.reserve(answer(Refused("superseded", 1, 0, 0, 0, ())))
    await here.take(SID, 9, "r9", Request()).reserve(answer(Reserved(1, 0, 1, 1, (), "last")))
    await asyncio.wait_for(heard.wait(), 60)
    assert mine.stopped == []
    there.end(Announcement(Topic.SUPERSEDED, sid=SID, slot=1, rid="r1"))
    assert mine.stopped == ENDED
    await listener.close()
    await store.close()


async def test_what_a_cancelled_reserve_replaced_is_announced_all_the_same(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    here, listener = Lanes(store.client), Listener(store.endpoint)
    heard: asyncio.Future[Announcement] = asyncio.get_running_loop().create_future()
    listener.on(Topic.SUPERSEDED, heard.set_result)
    await listener.start()
    asked, answered = asyncio.Event(), asyncio.Event()

    async def late() -> Reserved | Refused:
        asked.set()
        await answered.wait()
        return Reserved(1, 0, 1, 1, (), "r0")

    reserve = asyncio.get_running_loop().create_task(here.take(SID, 1, "r1", Request()).reserve(late()))
    await asked.wait()
    reserve.cancel()
    with pytest.raises(asyncio.CancelledError):
        await reserve
    answered.set()
    assert await asyncio.wait_for(heard, 60) == Announcement(Topic.SUPERSEDED, sid=SID, slot=1, rid="r0")
    await listener.close()
    await store.close()


async def test_what_has_ended_is_remembered_within_a_bound(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    keeper = Lanes(store.client)
    for slot in range(lanes.REMEMBERED + 10):
        keeper.take(SID, slot, f"r{slot}", Request())
        keeper.leave(SID, slot, f"r{slot}")
    assert keeper.take(SID, 0, "again", Request()).here == ""
    assert keeper.take(SID, lanes.REMEMBERED, "again", Request()).here == f"r{lanes.REMEMBERED}"
    assert len(keeper.running) == 2
    await store.close()
