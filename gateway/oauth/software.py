"""What a device may say about its software at a sign-in: a version, and one of the known platforms. Pure.

A session keeps both for 30 days and more, so neither may be a text of the client's own choice: a version is numbers
and one of a few words, as in Semantic Versioning 2.0.0 without free identifiers; a platform is an operating system,
a processor and a kind of program, each out of a closed set.
"""

from __future__ import annotations

import re

SYSTEMS = ("linux", "macos", "darwin", "windows", "win32", "freebsd", "web")
PROCESSORS = ("x64", "x86_64", "amd64", "arm64", "aarch64", "universal")
PROGRAMS = ("ide", "cli", "helper", "example")
STAGES = ("alpha", "beta", "rc", "dev", "preview", "nightly", "insider")

RULE = (
    f"app_version is up to four numbers such as 1.4.2, with -{', -'.join(STAGES)} and a number behind where it is no"
    f" release; platform is one of {', '.join(SYSTEMS)}, with -{', -'.join(PROCESSORS)} and"
    f" -{', -'.join(PROGRAMS)} where stated."
)

_VERSION = re.compile(rf"v?[0-9]{{1,5}}(?:\.[0-9]{{1,5}}){{0,3}}(?:-(?:{'|'.join(STAGES)})(?:\.[0-9]{{1,5}})?)?")
_PLATFORM = re.compile(rf"(?:{'|'.join(SYSTEMS)})(?:-(?:{'|'.join(PROCESSORS)}))?(?:-(?:{'|'.join(PROGRAMS)}))?")


def check_software(app_version: str = "", platform: str = "") -> None:
    """Empty states nothing.

    Raises:
        ValueError: One is outside its closed form. The text holds neither.
    """
    if app_version and not _VERSION.fullmatch(app_version):
        raise ValueError("app_version is not of the closed form")
    if platform and not _PLATFORM.fullmatch(platform):
        raise ValueError("platform is not of the closed set")
