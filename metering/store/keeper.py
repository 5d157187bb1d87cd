"""Runs the embedded store's server, and stops it after its last user has ended, in whatever way.

Started by `metering.store.embedded` as a file, so that nothing but the standard library is loaded::

    python -I -S keeper.py SERVER CONFIGURATION USERS_LOCK SERVER_LOCK_DESCRIPTOR

Rules:

1. Every user holds USERS_LOCK shared. The process that gets it exclusively knows that no user is left; the kernel
   releases the lock of a killed one. The lock is kept until the server has ended, so that nobody starts to use it.
2. Only the server has the locked descriptor: its lock shows that a server lives (rule 1 of `embedded`).
3. The exit code is the server's. It is 0 if the server was killed, because then another one may be started.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
import threading


def end_with_last_user(users_lock: str, server: int) -> None:
    """Wait until nobody uses the store, then stop the server."""
    fcntl.flock(os.open(users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), fcntl.LOCK_EX)
    os.kill(server, signal.SIGTERM)


def main(binary: str, configuration: str, users_lock: str, server_lock: str) -> int:
    server = os.fork()
    if server == 0:
        try:
            os.execve(binary, [binary, configuration], {})  # noqa: S606 - the binary of `embedded`, without a shell
        finally:
            os._exit(1)
    os.close(int(server_lock))
    signal.signal(signal.SIGTERM, lambda *_: os.kill(server, signal.SIGTERM))
    threading.Thread(target=end_with_last_user, args=(users_lock, server), daemon=True).start()
    _, status = os.waitpid(server, 0)
    return max(0, os.waitstatus_to_exitcode(status))


if __name__ == "__main__":
    os._exit(main(*sys.argv[1:]))
