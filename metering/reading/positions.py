"""How far each billing consumer has read, partition by partition.

A consumer is a consumer group on the usage streams. An entry counts as booked when it was delivered to every group
and each has acknowledged it. If there is no group at all, nobody reads, and nothing waits for a reader.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from redis.exceptions import ResponseError

from metering import keys
from metering.store.store import Store

StreamId = tuple[int, int]
NOTHING: StreamId = (0, 0)
EVERYTHING: StreamId = (2**63, 0)


@dataclass(frozen=True, slots=True)
class Position:
    """The progress of one group in one partition: everything up to and including ``booked`` is acknowledged."""

    group: str
    partition: int
    booked: StreamId


def parse_id(name: bytes | str) -> StreamId:
    """``b"1700000000000-3"`` as ``(1700000000000, 3)``."""
    milliseconds, _, sequence = (name.decode() if isinstance(name, bytes) else name).partition("-")
    return int(milliseconds), int(sequence or 0)


def format_id(position: StreamId) -> str:
    return f"{position[0]}-{position[1]}"


def before(position: StreamId) -> StreamId:
    """The largest id that is smaller than this one; zero stays zero."""
    if position == NOTHING:
        return NOTHING
    milliseconds, sequence = position
    return (milliseconds, sequence - 1) if sequence else (milliseconds - 1, 2**64 - 1)


async def positions(store: Store, partitions: Sequence[int]) -> list[Position]:
    """The position of every group in these partitions. Raises redis-py's errors when the store is away."""
    pipeline: Any = store.client.pipeline(transaction=False)
    for p in partitions:
        pipeline.xinfo_groups(keys.usage_stream(p))
    replies = await pipeline.execute(raise_on_error=False)
    found: list[tuple[int, str, StreamId]] = []
    pending: Any = store.client.pipeline(transaction=False)
    for p, reply in zip(partitions, replies, strict=True):
        if isinstance(reply, ResponseError):  # no stream yet, so no group either
            continue
        if isinstance(reply, Exception):
            raise reply
        for group in reply:
            name = group["name"].decode()
            found.append((p, name, parse_id(group["last-delivered-id"])))
            pending.xpending(keys.usage_stream(p), name)
    if not found:
        return []
    summaries = await pending.execute()
    return [
        Position(name, p, min(delivered, before(parse_id(summary["min"]))) if summary["pending"] else delivered)
        for (p, name, delivered), summary in zip(found, summaries, strict=True)
    ]


def floors(found: Sequence[Position]) -> dict[int, StreamId]:
    """For each partition that has groups: the position up to which all of them have booked."""
    lowest: dict[int, StreamId] = {}
    for position in found:
        lowest[position.partition] = min(lowest.get(position.partition, EVERYTHING), position.booked)
    return lowest
