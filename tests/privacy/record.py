"""What strace saw of the gateway's processes: what was written, to what, and which files were made.

Rules:

1. One file a thread (``-ff``), so that no line is cut in two by another thread's.
2. No ``--seccomp-bpf``: what the gateway's own filter refuses would then not be seen.
3. Whatever is written to anything but a client's or a provider's connection is a sink, whether the thing
   still exists or not: a deleted file, a pipe, the store's socket, another network connection.
4. A mapping that is shared and writable takes bytes that no write call shows: each must be a known one.
"""

from __future__ import annotations

import codecs
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

WRITES = ("write", "writev", "pwrite64", "pwritev", "pwritev2", "sendto", "sendmsg", "sendmmsg")
COPIES = ("sendfile", "splice", "tee", "vmsplice", "copy_file_range")  # bytes that strace can't show
NAMES = (
    *(
        "open",
        "openat",
        "openat2",
        "creat",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
    ),
    *("mkdir", "mkdirat", "mknod", "mknodat", "unlink", "unlinkat", "truncate", "setxattr", "lsetxattr", "fsetxattr"),
    *("execve", "execveat", "prctl", "bind", "connect", "memfd_create", "mq_open", "mq_timedsend", "msgsnd"),
    *("add_key", "sethostname", "process_vm_writev", "shmget", "shmat"),
)
RINGS = ("io_uring_setup",)
# What uvloop's libuv sets up to batch epoll_ctl: no kernel thread polls it, and no file is written through it.
LIBUV_RING = "256, {flags=0x10000 "
TRACED = ",".join(f"?{name}" for name in (*WRITES, *COPIES, *NAMES, *RINGS, "mmap"))
LONGEST = 1 << 23

_CALL = re.compile(r"^(\w+)\((.*)\)\s+= (.*)$", re.DOTALL)
_TARGET = re.compile(r"^(\d+)<((?:[A-Za-z0-9-]+:\[.*?\]|.*?))>(?:\(deleted\))?, ")
_OPENED = re.compile(r"^\d+<(/[^>]*)>")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"(\.\.\.)?')
_PORTS = re.compile(r"^TCP(?:v6)?:\[.*?:(\d+)(?:->.*:(\d+))?\]$")


@dataclass
class Record:
    """Read from the files of one run with `read`."""

    written: dict[str, bytearray] = field(default_factory=lambda: defaultdict(bytearray))  # by target
    provider: bytearray = field(default_factory=bytearray)
    arguments: bytearray = field(default_factory=bytearray)  # names of files, programs, threads
    files: set[Path] = field(default_factory=set)
    mappings: set[str] = field(default_factory=set)
    rings: int = 0
    copies: set[str] = field(default_factory=set)
    cut: int = 0  # strings longer than strace was told to keep
    calls: int = 0


def read(folder: Path, *, clients: set[int], providers: set[int]) -> Record:
    """The record of a run whose public ports and provider ports are given."""
    record = Record()
    for path in sorted(folder.glob("trace.*")):
        for line in path.read_text("latin-1").splitlines():
            found = _CALL.match(line) or _CALL.match(line + " = ?")  # a call that never returned
            if found is not None:
                record.calls += 1
                _take(record, found[1], found[2], found[3], clients, providers)
    return record


def _take(record: Record, name: str, arguments: str, result: str, clients: set[int], providers: set[int]) -> None:
    if name in WRITES:
        target = _TARGET.match(arguments)
        place = target[2] if target else "unknown"
        ports = _PORTS.match(place)
        if ports is not None and int(ports[1]) in clients:
            return
        data = b"".join(_strings(record, arguments))
        if ports is not None and ports[2] and int(ports[2]) in providers:
            record.provider += data
        else:
            record.written[_kind(place)] += data
    elif name == "mmap":
        if "MAP_SHARED" in arguments and "PROT_WRITE" in arguments:
            record.mappings.add("anonymous" if "MAP_ANON" in arguments else _mapped(arguments))
    elif name in RINGS:
        record.rings += not arguments.startswith(LIBUV_RING)
    elif name in COPIES:
        record.copies.add(name)
    else:
        record.arguments += b"\n".join(_strings(record, arguments)) + b"\n"
        opened = _OPENED.match(result)
        if opened and ("O_WRONLY" in arguments or "O_RDWR" in arguments or "O_CREAT" in arguments or name == "creat"):
            record.files.add(Path(opened[1]))
        if name.startswith(("rename", "link", "symlink")) and result.startswith("0"):
            last = [text for text in _strings(record, arguments) if text][-1].decode("utf-8", "replace")
            if last.startswith("/"):
                record.files.add(Path(last))


def _strings(record: Record, arguments: str) -> Iterator[bytes]:
    for match in _STRING.finditer(arguments):
        record.cut += bool(match[2])
        yield codecs.escape_decode(match[1].encode("latin-1"))[0]  # type: ignore[attr-defined]


def _mapped(arguments: str) -> str:
    found = re.search(r", \d+<([^>]*)>", arguments)
    return found[1] if found else "unknown"


def _kind(place: str) -> str:
    """Sockets of one kind are one target; a file is a target of its own."""
    return re.sub(r":\[.*\]$", "", place) if ":[" in place and not place.startswith("TCP") else place
