"""What systemd hears of a gateway that it starts: real processes, and a socket in systemd's place."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.raw_http import PATIENCE


@pytest.mark.parametrize(("workers", "abstract"), [(1, False), (2, True)])
def test_it_is_ready_when_it_serves_and_gives_signs_of_life(tmp_path: Path, workers: int, abstract: bool) -> None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        if abstract:
            manager.bind("")  # any free one: a zero byte, and a name
            address = "@" + manager.getsockname()[1:].decode()
        else:
            manager.bind(str(tmp_path / "notify"))
            address = str(tmp_path / "notify")
        manager.settimeout(PATIENCE)
        gateway = GatewayProcess(
            tmp_path,
            {"openai": provider("openai", "http://127.0.0.1:1")},
            [model("m", "openai")],
            workers=workers,
            environment={"NOTIFY_SOCKET": address, "WATCHDOG_USEC": "150000"},
        )
        with gateway:
            port = gateway.url.rsplit(":", 1)[1]
            heard = [manager.recv(256).decode() for _ in range(4)]
        assert gateway.process.returncode == 0
    assert heard[0] == f"READY=1\nSTATUS=serving on port {port}, workers: {workers}"
    assert heard[1:] == ["WATCHDOG=1"] * 3


def test_a_manager_that_is_not_there_disturbs_nobody(tmp_path: Path) -> None:
    gateway = GatewayProcess(
        tmp_path,
        {"openai": provider("openai", "http://127.0.0.1:1")},
        [model("m", "openai")],
        environment={"NOTIFY_SOCKET": str(tmp_path / "none"), "WATCHDOG_USEC": "x", "WATCHDOG_PID": "1"},
    )
    with gateway:
        pass
    assert gateway.process.returncode == 0
