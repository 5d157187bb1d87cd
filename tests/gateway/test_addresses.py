from __future__ import annotations

import pytest

from gateway.addresses import is_loopback, name_of_host


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("LocalHost:8080", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("[::1]:1", "[::1]"),
        ("my_service:80", "my_service"),
        ("user@127.0.0.1:1", ""),
        ("127.0.0.1:", ""),
        ("a b", ""),
        ("a/b", ""),
        ("1.2.3.4, \udcff", ""),
        ("", ""),
    ],
)
def test_what_a_host_header_names(header: str, name: str) -> None:
    assert name_of_host(header) == name


@pytest.mark.parametrize(
    ("host", "only"), [("localhost", True), ("[::1]", True), ("127.9.9.9", True), ("127.1", False)]
)
def test_what_can_only_be_this_machine(host: str, only: bool) -> None:
    assert is_loopback(host) == only
