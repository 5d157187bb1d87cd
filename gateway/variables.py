"""The allow-list of environment variables that the gateway uses, and how its processes start with them.

Rules:

1. `narrow` is the first thing that a program of the gateway does. From then on the process's environment contains only
   the variables of `is_kept`, so that no library, TLS or the C library reads others.
2. Variables that a configuration names as ``env:NAME``, or a command by name, are read from `GIVEN`, the original
   environment. `GIVEN` remembers which ones were read, and only these are passed to children (`for_child`).
3. Variables that the interpreter, the loader or the cryptography read are never passed on, even if they are named
   (`is_switch`).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final, TypeVar, overload

from metering.numbers import whole_number

_T = TypeVar("_T")

_NAMES: Final = frozenset((
    "PATH", "HOME", "USER", "LOGNAME", "TMPDIR", "TEMP", "TMP", "TZ", "LANG", "LANGUAGE",
    "TERM", "COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR",  # how a terminal shows tables
    "CODEGREX_CONFIG", "CODEGREX_URL",  # options of the command line
    "XDG_CONFIG_HOME",  # where `token` keeps a sign-in
    "_CODEGREX_GATEWAY_COMPLETE", "COMP_WORDS", "COMP_CWORD",  # the shell's completion of commands
    "NOTIFY_SOCKET", "LISTEN_FDS", "LISTEN_PID", "LISTEN_FDNAMES", "WATCHDOG_PID", "WATCHDOG_USEC",  # service manager
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "USERPROFILE", "APPDATA", "LOCALAPPDATA",  # Windows
    "PROGRAMDATA", "__CF_USER_TEXT_ENCODING",  # macOS
))  # fmt: skip
_PREFIXES: Final = ("LC_",)

# No variable of the interpreter, and neither the current folder nor one of the user's own on the path, so that no
# `sitecustomize` or module that somebody put there is loaded. The last is not known before Python 3.14, which would run
# code that another process hands it (PEP 768).
ISOLATED: Final = ("-I", "-X", "disable-remote-debug")
_LEFT: Final = "codegrex-left"

SWITCHES: Final = frozenset((
    "PYTHONASYNCIODEBUG", "PYTHONBREAKPOINT", "PYTHONDEBUG", "PYTHONDEVMODE", "PYTHONDUMPREFS", "PYTHONDUMPREFSFILE",
    "PYTHONFAULTHANDLER", "PYTHONHOME", "PYTHONINSPECT", "PYTHONMALLOC", "PYTHONMALLOCSTATS", "PYTHONPATH",
    "PYTHONPERFSUPPORT", "PYTHONPLATLIBDIR", "PYTHONPROFILEIMPORTTIME", "PYTHONPYCACHEPREFIX", "PYTHONSTARTUP",
    "PYTHONTRACEMALLOC", "PYTHONUSERBASE", "PYTHONVERBOSE", "PYTHONWARNINGS", "PYTHON_PERF_JIT_SUPPORT",
    "LD_AUDIT", "LD_DEBUG", "LD_LIBRARY_PATH", "LD_PRELOAD", "DYLD_INSERT_LIBRARIES", "DYLD_LIBRARY_PATH",
    "GCONV_PATH", "GLIBC_TUNABLES", "LOCPATH", "MALLOC_TRACE", "RES_OPTIONS", "LOCALDOMAIN", "HOSTALIASES",
    "SSLKEYLOGFILE", "SSL_CERT_FILE", "SSL_CERT_DIR", "OPENSSL_CONF", "OPENSSL_MODULES", "OPENSSL_ENGINES",
    "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY",
    "http_proxy", "https_proxy", "all_proxy", "no_proxy",
))  # fmt: skip
"""Variables that are told by name if they were there: they would print, dump, trace, load other code, trust further
authorities or lead elsewhere. What is dropped is everything that is not kept; this list is only for telling."""

_NEVER: Final = ("PYTHON", "LD_", "DYLD_", "GLIBC_", "MALLOC_", "GCONV_", "SSL", "OPENSSL_")
PROXIES: Final = ("http_proxy", "https_proxy", "no_proxy", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY")


def is_kept(name: str) -> bool:
    """Whether a variable is honoured without being asked for by name."""
    return name in _NAMES or name.startswith(_PREFIXES)


def is_switch(name: str) -> bool:
    """Whether the interpreter, the loader or the cryptography read this one before a program's own code can refuse."""
    return name.startswith(_NEVER)


class Given(Mapping[str, str]):
    """What this process was started with. Before `narrow` that is its unchanged environment. `get` is how it is
    read.
    """

    def __init__(self) -> None:
        self._held: dict[str, str] | None = None
        self._asked: set[str] = set()

    def __getitem__(self, name: str) -> str:
        return self._variables[name]

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, default: str | _T, /) -> str | _T: ...
    def get(self, name: str, default: object = None, /) -> object:
        """Its value. A variable that is read by name is needed, so it is passed to children too."""
        self._asked.add(name)
        return self._variables.get(name, default)

    def __iter__(self) -> Iterator[str]:
        return iter(self._variables)

    def __len__(self) -> int:
        return len(self._variables)

    @property
    def _variables(self) -> Mapping[str, str]:
        return os.environ if self._held is None else self._held

    def narrow(self) -> None:
        """See the function of this name."""
        if self._held is None:
            self._held = dict(os.environ)
        for name in [name for name in os.environ if not is_kept(name)]:
            del os.environ[name]

    def wanted(self) -> dict[str, str]:
        """The allowed variables, and those that were read by name and are not switches."""
        return {
            name: value
            for name, value in self._variables.items()
            if is_kept(name) or (name in self._asked and not is_switch(name))
        }


GIVEN: Final = Given()


def narrow() -> None:
    """Take from this process all variables that are not kept."""
    GIVEN.narrow()


def restore(*names: str) -> None:
    """Put variables back, for a command on a user's machine that connects as its user's other programs do."""
    os.environ.update({name: GIVEN[name] for name in names if name in GIVEN})


def for_child() -> dict[str, str]:
    """The environment of a process of the gateway: what is kept, and what was asked for by name."""
    return GIVEN.wanted()


def for_debugging() -> dict[str, str]:
    """The same with ``hardening.mode = "off"``: all that was given, except what TLS reads."""
    return {name: value for name, value in GIVEN.items() if not name.startswith(("SSL", "OPENSSL_"))}


def python(module: str, *arguments: str, options: tuple[str, ...] = ()) -> list[str]:
    """The command of a module of the gateway as a process of its own, isolated; ``options`` are the interpreter's."""
    quiet = ("-B",) if sys.dont_write_bytecode else ()
    return [sys.executable, *ISOLATED, *quiet, *options, "-m", module, *arguments]


def left(names: AbstractSet[str]) -> tuple[str, ...]:
    """An option of the interpreter that tells a program which variables it was started without: see `dropped`."""
    return ("-X", ",".join((f"{_LEFT}={len(names)}", *sorted(names & SWITCHES))))


def was_left() -> bool:
    """Whether this program started itself without some variables."""
    return _LEFT in sys._xoptions  # noqa: SLF001 - documented under this name


def dropped() -> tuple[int, tuple[str, ...]]:
    """How many variables were given and are not honoured, and which of `SWITCHES` are among them."""
    gone = GIVEN.keys() - for_child().keys()
    count, *names = str(sys._xoptions.get(_LEFT, "")).split(",")  # noqa: SLF001 - as above
    return (whole_number(count) or 0) + len(gone), tuple(sorted(SWITCHES & {*gone, *names}))
