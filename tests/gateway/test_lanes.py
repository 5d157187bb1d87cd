"""What happens to the older request of a lane, in this worker and in another one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from multidict import CIMultiDict

from gateway import lanes
from gateway.auth.announcements import Announcement, Kind, Listener
from gateway.errors import GatewayError, InvalidRequest
from gateway.lanes import Lanes
from metering.store import open_store
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


async def test_the_newer_request_ends_the_older_one_of_its_lane_alone(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    keeper, one, two, other = Lanes(store.client), Request(), Request(), Request()
    assert keeper.take(SID, 1, "r1", one) == ""
    assert keeper.take(SID, 2, "r2", other) == ""
    assert keeper.take(SID, 1, "r3", two) == "r1"
    assert (one.stopped, two.stopped, other.stopped) == (ENDED, [], [])
    keeper.leave(SID, 1, "r1")  # the older one's end frees nothing
    assert keeper.running[SID, 1] == ("r3", two)
    keeper.leave(SID, 1, "r3")
    assert keeper.take(SID, 1, "r4", Request()) == "r3"  # it ended, but it was here: nobody else need hear
    await store.close()


async def test_an_announcement_ends_the_request_it_names_and_no_newer_one(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    here, there, mine = Lanes(store.client), Lanes(store.client), Request()
    listener, heard = Listener(store.client), asyncio.Event()
    listener.on(Kind.SUPERSEDED, there.end)
    listener.on(Kind.SUPERSEDED, lambda announced: heard.set() if announced.slot == 9 else None)
    await listener.start()
    there.take(SID, 1, "r1", mine)
    here.took(SID, 1, replaced="r0", here="")
    here.took(SID, 2, replaced="r1", here="")
    here.took(SID, 1, replaced="r1", here="r1")  # its own: not announced
    here.took(SID, 1, replaced="", here="")
    here.took(SID, 9, replaced="last", here="")
    await asyncio.wait_for(heard.wait(), 10)
    assert mine.stopped == []
    there.end(Announcement(Kind.SUPERSEDED, sid=SID, slot=1, rid="r1"))
    assert mine.stopped == ENDED
    await listener.close()
    await store.close()


async def test_what_has_ended_is_remembered_within_a_bound(tmp_path: Path) -> None:
    store = await open_store("embedded:", data_dir=tmp_path)
    keeper = Lanes(store.client)
    for slot in range(lanes.REMEMBERED + 10):
        keeper.take(SID, slot, f"r{slot}", Request())
        keeper.leave(SID, slot, f"r{slot}")
    assert keeper.take(SID, 0, "again", Request()) == ""
    assert keeper.take(SID, lanes.REMEMBERED, "again", Request()) == f"r{lanes.REMEMBERED}"
    assert len(keeper.running) == 2
    await store.close()
