"""The guard of the process, in processes of its own: it can't be taken out again."""

import subprocess
import sys

import pytest

from gateway.local.process_guard import allows

# What each line tries is refused with PermissionError once the guard stands, and is something else before.
TRIED = {
    "connect": "socket.socket().connect(('10.9.9.9', 9))",
    "connect_ipv6": "socket.socket(socket.AF_INET6).connect(('2001:db8::1', 9))",
    "connect_mapped": "socket.socket(socket.AF_INET6).connect(('::ffff:10.9.9.9', 9))",
    "connect_name": "socket.socket().connect(('localhost', 9))",
    "connect_any": "socket.socket().connect(('0.0.0.0', 9))",
    "sendto": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b'x', ('10.9.9.9', 53))",
    "sendmsg": "socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendmsg([b'x'], [], 0, ('10.9.9.9', 53))",
    "bind": "socket.socket().bind(('0.0.0.0', 0))",
    "getaddrinfo": "socket.getaddrinfo('localhost', 80)",
    "gethostbyname": "socket.gethostbyname('localhost')",
    "gethostbyaddr": "socket.gethostbyaddr('127.0.0.1')",
    "getnameinfo": "socket.getnameinfo(('127.0.0.1', 80), 0)",
    "create_connection": "socket.create_connection(('localhost', 9))",
    "http_client": "urllib.request.urlopen('http://example.test/')",
    "program": "subprocess.run(['true'])",
    "system": "os.system('true')",
    "fork": "os.fork()",
    "write": "open('leak.txt', 'w')",
    "append": "pathlib.Path('leak.txt').open('ab')",
    "descriptor": "os.open('leak.txt', os.O_WRONLY | os.O_CREAT)",
    "temporary": "tempfile.TemporaryFile(dir='.')",
}
PROBE = """
import os, pathlib, socket, subprocess, tempfile, urllib.request
socket.setdefaulttimeout(0.01)
from gateway.local import process_guard
{install}
try:
    {tried}
except PermissionError as error:
    print("refused" if str(error) == "refused in local mode" else "other")
except OSError as error:
    refused = "refused in local mode" in str(error)
    print("refused" if refused else "other")
else:
    print("other")
"""


def run(tried, install, cwd):
    done = subprocess.run(
        [sys.executable, "-c", PROBE.format(tried=tried, install=install)],
        capture_output=True,
        text=True,
        cwd=cwd,
        timeout=90,
        check=False,
    )
    return done.stdout.split(), done.stderr


@pytest.mark.parametrize("name", TRIED)
def test_the_guard_refuses(name, tmp_path):
    assert run(TRIED[name], "process_guard.install()", tmp_path)[0][-1:] == ["refused"], name
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "name", ["connect_name", "getaddrinfo", "gethostbyname", "program", "write", "bind", "getnameinfo"]
)
def test_without_the_guard_the_same_is_tried(name, tmp_path):
    """The test above can fail: the refusal is the guard's."""
    assert run(TRIED[name], "", tmp_path)[0][-1:] == ["other"]


def test_what_the_broker_does_is_allowed():
    for address in (
        ("127.0.0.1", 1),
        ("::1", 1, 0, 0),
        ("::ffff:127.0.0.1", 1, 0, 0),
        "/run/engine.sock",
        b"\0abstract",
    ):
        assert allows("socket.connect", (None, address))
    assert allows("socket.getaddrinfo", ("127.0.0.1", 80, 0, 0, 0))
    assert allows("open", ("/etc/hosts", "r", 0))
    assert allows("open", (3, "wb", None))
    assert allows("socket.__new__", ())


def test_what_is_not_an_address_is_refused():
    for address in ((), 7, ("127.0.0.1\0.evil.test", 1), (b"10.0.0.1", 1), ("", 1), (None, 1)):
        assert not allows("socket.connect", (None, address))
