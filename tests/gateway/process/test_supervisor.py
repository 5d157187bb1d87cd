"""Binding the listening sockets."""

import os
import socket

import pytest

from gateway.config import ConfigError
from gateway.process.supervisor import bind


def test_a_free_port_is_one_for_all_addresses():
    sockets = bind("127.0.0.1", 0)
    try:
        assert len({sock.getsockname()[1] for sock in sockets}) == 1
        for sock in sockets:
            assert os.get_inheritable(sock.fileno())
            assert not sock.getblocking()
            with socket.create_connection(sock.getsockname()[:2]):
                pass
    finally:
        for sock in sockets:
            sock.close()


def test_a_port_in_use_is_a_fault_of_the_configuration():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError) as caught:
            bind("127.0.0.1", port)
    assert "server.port" in caught.value.faults[0]
    assert str(port) in caught.value.faults[0]


def test_an_address_that_is_not_ours():
    with pytest.raises(ConfigError):
        bind("192.0.2.1", 0)
