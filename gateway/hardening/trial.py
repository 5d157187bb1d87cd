"""``python -m gateway.hardening.trial FOLDER``: harden a process of its own and print what holds of it.

How ``privacy status`` finds out what this machine's kernel has: by doing it.
"""

from __future__ import annotations

import sys
from pathlib import Path

import orjson

from gateway import variables
from gateway.config import Config, ServerConfig
from gateway.hardening import landlock
from gateway.hardening.process import harden, observe


def main(folder: Path) -> None:
    """``folder`` stands in for the data directory."""
    harden(Config(path=folder / "gateway.toml", providers={}, server=ServerConfig(data_dir=folder)))
    found = {"landlock_abi": landlock.abi(), "here": {measure.value: held.value for measure, held in observe().items()}}
    sys.stdout.write(orjson.dumps(found).decode() + "\n")


if __name__ == "__main__":
    variables.narrow()
    main(Path(sys.argv[1]))
