"""An engine's address is a loopback literal or a Unix socket."""

import pytest

from gateway.local.address import AddressRefused, Tcp, Unix, check_address, loopback, parse_address


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1:11434", Tcp("127.0.0.1", 11434)),
        ("127.8.9.10:1", Tcp("127.8.9.10", 1)),
        ("[::1]:8080", Tcp("::1", 8080)),
        ("[0:0:0:0:0:0:0:1]:8080", Tcp("::1", 8080)),
        ("[::ffff:127.0.0.1]:8080", Tcp("127.0.0.1", 8080)),
        ("[::ffff:7f00:1]:8080", Tcp("127.0.0.1", 8080)),
        ("http://127.0.0.1:8000", Tcp("127.0.0.1", 8000)),
        ("http://127.0.0.1:8000/v1", Tcp("127.0.0.1", 8000)),
        ("HTTP://[::1]:8000/v1/", Tcp("::1", 8000)),
        ("unix:/run/engine.sock", Unix("/run/engine.sock")),
        ("unix:///run/engine.sock", Unix("/run/engine.sock")),
    ],
)
def test_addresses_of_this_machine(written, address):
    assert parse_address(written) == address


@pytest.mark.parametrize(
    "written",
    [
        "localhost:11434",
        "localhost.:11434",
        "127.0.0.1.nip.io:80",
        "example.test:80",
        "0.0.0.0:80",
        "[::]:80",
        "10.0.0.1:80",
        "192.168.1.1:80",
        "169.254.169.254:80",
        "[::ffff:10.0.0.1]:80",
        "[::ffff:0.0.0.0]:80",
        "[::127.0.0.1]:80",
        "[64:ff9b::7f00:1]:80",
        "[fe80::1]:80",
        "[::1%lo]:80",
        "127.1:80",
        "0x7f.0.0.1:80",
        "0177.0.0.1:80",
        "2130706433:80",
        "127.0.0.1",
        "127.0.0.1:0",
        "127.0.0.1:65536",
        "127.0.0.1:80/other",
        "127.0.0.1:80@evil.test:80",
        "user@127.0.0.1:80",
        "https://127.0.0.1:443",
        "http://127.0.0.1:80?x",
        "127.0.0.1:80\n",
        " 127.0.0.1:80",
        "\uff11\uff12\uff17.0.0.1:80",
        "unix:relative",
        "unix:",
        "unix:/a\0b",
        "",
    ],
)
def test_everything_else(written):
    with pytest.raises(AddressRefused):
        parse_address(written)


def test_what_is_not_text_is_no_address():
    for host in (None, 2130706433, b"127.0.0.1", ("127.0.0.1",)):
        assert loopback(host) is None


def test_an_address_that_was_made_by_other_code_is_checked_too():
    assert check_address(Tcp("::ffff:127.0.0.1", 80)) == Tcp("127.0.0.1", 80)
    with pytest.raises(AddressRefused):
        check_address(Tcp("10.0.0.1", 80))
