"""What a device may state about its software at a sign-in: a version and a known platform. Pure.

Rules:

1. A session stores both for 30 days and more, so neither may be a text of the client's choice: a version is numbers
   and one of a few words, as in Semantic Versioning 2.0.0 without free identifiers; a platform is an operating system,
   a processor and a kind of program, each from a closed set.
2. No sign-in fails because of either: a value of another form is ignored. For a minimum version, a missing version is
   older than every version (`gateway.auth.policy.version_key`).
3. Shortening a version never makes it higher: build metadata does not count (section 10), and numbers are removed only
   at the end.
"""

from __future__ import annotations

import re
from typing import NamedTuple

SYSTEMS = ("linux", "macos", "darwin", "windows", "win32", "freebsd", "web")
PROCESSORS = ("x64", "x86_64", "amd64", "arm64", "aarch64", "universal")
PROGRAMS = ("ide", "cli", "helper", "example")
STAGES = ("alpha", "beta", "rc", "dev", "preview", "nightly", "insider")

_STAGE = rf"-(?:{'|'.join(STAGES)})"
_MORE = r"(?:\.[0-9]+)*"  # left out
_VERSION = re.compile(
    rf"(?P<numbers>v?[0-9]{{1,5}}(?:\.[0-9]{{1,5}}){{0,3}})"
    rf"(?:(?P<stage>{_STAGE}(?:\.[0-9]{{1,5}})?){_MORE}|{_MORE}(?:{_STAGE}{_MORE})?)"
    r"(?:\+[0-9A-Za-z.-]*)?"
)
_PLATFORM = re.compile(rf"(?:{'|'.join(SYSTEMS)})(?:-(?:{'|'.join(PROCESSORS)}))?(?:-(?:{'|'.join(PROGRAMS)}))?")


class Software(NamedTuple):
    """What is kept of a device's word; empty is unknown."""

    version: str
    platform: str


def readable(app_version: str = "", platform: str = "") -> Software:
    """What of these is of a closed form; never fails.

    ``1.4.2-rc.1+5114f85`` is ``1.4.2-rc.1``, and ``1.105.20261128`` is ``1.105``: a number has five digits at most.
    """
    found = _VERSION.fullmatch(app_version)
    version = "" if found is None else found["numbers"] + (found["stage"] or "")
    return Software(version, platform if _PLATFORM.fullmatch(platform) else "")
