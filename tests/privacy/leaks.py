"""A gateway that leaks on purpose: `benchmarks.launch` starts it with this inside.

Each prompt that says ``leak:NAME`` is leaked in the way of that name. The hunt must catch every one.
"""

from __future__ import annotations

import base64
import ctypes
import gzip
import hashlib
import mmap
import os
import re
import socket
import sys
import time
from pathlib import Path

from gateway.http import request as inbound
from gateway.telemetry.metrics import Registry
from providers import headers

_read = inbound.read_body
_render = Registry.render
LABELS = []  # of a metric that counts what it should not know
HERE = Path.cwd() / "data"  # where a hardened gateway may write


def _file(name: str, data: bytes) -> None:
    (HERE / name).write_bytes(data)


def _store(*words: bytes) -> bytes:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(str(HERE / "store/store.sock"))
        sock.sendall(b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word) for word in words))
        return sock.recv(65_536)


def _in_the_log(data: bytes) -> None:
    """Where the store's append-only file has it, and no key any more."""
    _store(b"SET", b"short", data)
    _store(b"DEL", b"short")


def _in_a_snapshot(data: bytes) -> None:
    """Where a snapshot has it that the store makes by itself (BGSAVE), and no key any more."""
    _store(b"SET", b"saved", data)
    _store(b"BGSAVE")
    while b"rdb_bgsave_in_progress:1" in _store(b"INFO", b"persistence"):
        time.sleep(0.001)
    _store(b"DEL", b"saved")


def _deleted(data: bytes) -> None:
    path = HERE / "gone"
    path.write_bytes(data)
    path.unlink()


def _mapped(data: bytes) -> None:
    with (HERE / "mapped").open("w+b") as file:
        file.truncate(4096)
        mmap.mmap(file.fileno(), 4096)[: len(data)] = data


def _copied(data: bytes) -> None:
    _file("copied", data)
    with (HERE / "copied").open("rb") as source, (HERE / "copy").open("wb") as copy:
        os.sendfile(copy.fileno(), source.fileno(), 0, len(data))


def _command_line(data: bytes) -> None:
    """What `ps` shows is memory of the process: `arg_start` is field 48 (proc_pid_stat(5))."""
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    ctypes.memmove(int(fields[45]), data, len(data))


def _datagram(data: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.sendto(data, ("127.0.0.1", 9))


LEAKS = {
    "stdout": lambda data: os.write(1, data),
    "stderr": lambda data: sys.stderr.write(data.decode()) and sys.stderr.flush(),
    "files": lambda data: _file("kept", data),
    "base64": lambda data: _file("kept64", base64.b64encode(b"x" + data)),
    "gzip": lambda data: _file("keptgz", gzip.compress(data)),
    "utf16": lambda data: _file("kept16", data.decode().encode("utf-16")),
    "hashed": lambda data: _file("hashed", hashlib.sha256(data).hexdigest().encode()),
    "spool": lambda data: _file("spool/kept", data),
    "write-calls": _deleted,
    "names": lambda data: _file(data.decode(), b""),
    "keys": lambda data: _store(b"SET", data, b"1"),
    "values": lambda data: _store(b"HSET", b"k", b"f", data),
    "monitor": lambda data: _store(b"GET", data),
    "store-log": lambda data: _store(b"EVAL", b"server.log(server.LOG_WARNING, ARGV[1])", b"0", data),
    "mapping": _mapped,
    "ring": lambda _data: ctypes.CDLL(None).syscall(425, 0, 0),
    "copies": _copied,
    "process": _command_line,
    "diagnostics": lambda data: _store(b"GET", data),
    "datagram": _datagram,
    "label": LABELS.append,
    "baggage": lambda _data: None,  # every request's is forwarded, see below
    "core": lambda data: _file("core.1", data),
    "key-log": lambda data: _file("keys.log", data),
    "snapshot": _in_a_snapshot,
    "append-only": _in_the_log,
}


async def leaking(request, *bounds):
    body = await _read(request, *bounds)
    for marker, name in re.findall(rb"([a-z]{12}\d{5}zzz)[ +]leak:([a-z0-9-]+)", body):
        LEAKS[name.decode()](marker)
    return body


def labelled(registry):
    return _render(registry) + b"".join(b'requests_total{model="%b"} 1\n' % label for label in LABELS)


def install(_text: str) -> None:
    inbound.read_body = leaking
    Registry.render = labelled
    for forms in headers._REQUEST_BYTES.values():
        forms[b"baggage"] = re.compile(rb".*")
