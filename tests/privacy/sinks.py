"""Everything that a gateway could have kept content in, as named pieces of bytes to search.

`of_the_living` reads what only a running gateway and store can tell; `of_the_dead` what a run left.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tests.privacy.canaries import IDENTITY, Hit
from tests.privacy.record import Record, read
from tests.privacy.stage import Stage

Piece = tuple[str, str, bytes]  # sink, where, content
KEY_LOG = "keys.log"  # where SSLKEYLOGFILE points: keys are no markers, so it may not be there
# What a person calls a token of its own, to know it again: the one text that is kept as it was given, in the token's
# session. It may go to the store and to the store's own file, and be seen on the way by what the hunt itself turns on;
# the scenario erases the account before anything is searched, so that it may be left nowhere.
TOKEN_NAME = "token name"
WAY_OF_A_TOKEN_NAME = (
    "MONITOR: stream",
    "store diagnostics: SLOWLOG",
    "write calls: UNIX",
    "write calls: {store}/append",
)
KNOWN_MAPPINGS = ("/memfd:metrics", "anonymous", "anon_inode:[io_uring]")  # the ring itself is judged by its set-up


def of_the_living(stage: Stage) -> Iterator[Piece]:
    for page, body in stage.internal_pages():
        yield "internal listener", page, body
    for pid in stage.processes():
        for name in ("environ", "cmdline", "comm"):
            yield "process", name, Path(f"/proc/{pid}/{name}").read_bytes()
    with stage.store() as store:
        for key in store.scan_iter(count=1000):
            yield "store keys", "key", key
            yield "store values", "value", store.dump(key) or b""
        for command in ("SLOWLOG GET -1", "LATENCY LATEST", "ACL LOG", "CLIENT LIST", "INFO everything"):
            yield "store diagnostics", command, repr(store.execute_command(*command.split())).encode()
        for snapshot in stage.store_folder.glob("*.rdb"):  # one that the hunt did not ask for
            snapshot.rename(snapshot.with_suffix(".earlier.rdb"))
        store.save()


def of_the_dead(stage: Stage) -> tuple[Record, list[Piece]]:
    """The strace record, and everything written, file by file."""
    record = read(stage.traces, clients=stage.ports, providers={stage.sim.port})
    pieces = [("MONITOR", "stream", bytes(stage.monitored)), ("names and arguments", "strace", bytes(record.arguments))]
    pieces += [("write calls", target, bytes(data)) for target, data in record.written.items()]
    left = {path for path in stage.folder.rglob("*") if stage.traces not in path.parents}
    pieces += [(_sink(path), str(path), path.read_bytes()) for path in left | record.files if path.is_file()]
    return record, pieces


def _sink(path: Path) -> str:
    for part, sink in {
        "gateway.log": "stderr",
        "stdout": "stdout",
        "valkey.log": "store log",
        "spool": "spool",
        KEY_LOG: "key log",
    }.items():
        if part in path.parts:
            return sink
    if "appendonlydir" in path.parts:
        return "AOF"
    return "RDB" if path.suffix == ".rdb" else "core files" if path.name.startswith("core") else "files"


def searched(record: Record, pieces: list[Piece]) -> dict[str, int]:
    """How many bytes of each sink were searched; for calls that carry none, how many calls were read."""
    found: Counter[str] = Counter()
    for sink, _, data in pieces:
        found[sink] += len(data)
    found["provider"] = len(record.provider)
    return dict(found) | dict.fromkeys(
        ("shared mappings", "io_uring", "kernel copies", "core files", "key log"), record.calls
    )


def hits(stage: Stage, record: Record, pieces: list[Piece]) -> list[Hit]:
    """What was found where nothing may be."""
    found = [hit for sink, where, data in pieces for hit in stage.canaries.search(sink, where, data)]
    found = [hit for hit in found if not _may_be(hit, stage)]
    for where, data in (("connection", bytes(record.provider)), ("received", repr(stage.sim.requests()).encode())):
        found += stage.canaries.search("provider", where, data, only=IDENTITY)
    found += [Hit("core files", str(p), "file", "", "") for p in stage.folder.glob("core*")]
    found += [Hit("key log", str(p), "file", "", "") for p in stage.folder.rglob(KEY_LOG)]
    found += [
        Hit("shared mappings", name, "mmap", "", "") for name in record.mappings if not name.startswith(KNOWN_MAPPINGS)
    ]
    if record.rings:
        found.append(Hit("io_uring", "strace", "call", "", ""))
    found += [Hit("kernel copies", name, "call", "", "") for name in record.copies]
    return found


def _may_be(hit: Hit, stage: Stage) -> bool:
    """Whether it is a token's name, on its way to where it is kept and back."""
    way = tuple(place.format(store=stage.store_folder) for place in WAY_OF_A_TOKEN_NAME)
    return (hit.place, hit.form) == (TOKEN_NAME, "raw") and f"{hit.sink}: {hit.where}".startswith(way)
