"""Another gateway as a contender: a real process on loopback, in a folder of its own."""

from __future__ import annotations

import os
import secrets
import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

from benchmarks.compare.contenders import Contender, Route, Unavailable, Upstreams, answered
from benchmarks.compare.versions import version_of
from benchmarks.peers.setups import KINDS, PeerKind, PeerPlace, PeerSetup
from benchmarks.ports import free_port

READY_SECONDS = 60.0


class PeerGateway(Contender):
    """A `PeerKind`, started from the path that was given for it."""

    def __init__(self, folder: Path, upstreams: Upstreams, kind: PeerKind, program: Path) -> None:
        self.name = kind.name
        super().__init__(folder, upstreams)
        self.kind = kind
        self.program = program
        self.setup: PeerSetup | None = None
        self.port = 0
        self.key = f"sk-{secrets.token_hex(24)}"

    def prepare(self) -> None:
        """Write its files. Raises `Unavailable`."""
        if not self.program.exists():
            raise Unavailable(f"{self.kind.variable} names {self.program}, which does not exist")
        self.port, *spare = (free_port() for _ in range(4))
        first, second, third = spare
        upstream = self.upstreams.plain.replace("localhost", "127.0.0.1")
        program = Path.cwd() / self.program
        place = PeerPlace(program, self.folder.resolve(), self.port, (first, second, third), upstream, self.key)
        self.setup = self.kind.write(place)
        self.folder.mkdir(parents=True, exist_ok=True)
        for name, text in self.setup.files.items():
            (self.folder / name).write_text(text)

    def start(self) -> None:
        if self.setup is None:
            self.prepare()
        setup = self.setup
        assert setup is not None
        # Nothing of the caller's: a home with settings, a proxy, a key of a real provider.
        own = {"PATH": os.environ.get("PATH", os.defpath), "HOME": str(self.folder), "NO_PROXY": "127.0.0.1"}
        try:
            self.spawn(list(setup.command), own | setup.environment, cwd=self.folder)
        except OSError as error:
            raise Unavailable(f"cannot be started: {error.strerror}") from None
        self.wait_for(self.port)
        self.routes = {False: Route(f"http://127.0.0.1:{self.port}", self.key, setup.model, headers=setup.headers)}
        answered(self.routes[False], READY_SECONDS)

    def version(self) -> str:
        script = self.setup.script if self.setup is not None else None
        return version_of(script or self.program)

    def kept(self) -> Mapping[str, bool] | None:
        """The requests in its database; none while there is no database. Raises `Unavailable` if it is another one."""
        if self.setup is None or self.setup.records is None:
            return None
        file, query = self.setup.records
        if not file.exists():
            return {}
        try:
            with closing(sqlite3.connect(file, timeout=10)) as database:
                return {str(tokens): True for (tokens,) in database.execute(query)}
        except sqlite3.Error as error:
            raise Unavailable(f"its records cannot be read: {error}") from None


def given(environment: Mapping[str, str]) -> list[tuple[PeerKind, Path]]:
    """The kinds whose programs the environment names, with their paths."""
    return [(kind, Path(environment[kind.variable])) for kind in KINDS if environment.get(kind.variable)]
