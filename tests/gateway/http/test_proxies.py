from __future__ import annotations

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.http.proxies import client_of

NETWORKS = tuple(ip_network(text) for text in ("10.0.0.0/8", "127.0.0.1/32", "2001:db8::/32"))


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("127.0.0.1", [], "127.0.0.1"),
        ("127.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["1.1.1.1, 203.0.113.7"], "203.0.113.7"),
        ("127.0.0.1", ["1.1.1.1", "203.0.113.7"], "203.0.113.7"),
        ("198.51.100.1", ["203.0.113.7"], "203.0.113.7"),  # nobody is named: whoever connects is the proxy
        ("127.0.0.1", ["203.0.113.7:4711"], "203.0.113.7"),
        ("127.0.0.1", ["[2001:db8::7]:4711"], "2001:db8::7"),
        ("127.0.0.1", ["2001:db8::7"], "2001:db8::7"),
        ("127.0.0.1", ["unknown"], "unknown"),
        ("127.0.0.1", [" , "], "127.0.0.1"),
    ],
)
def test_the_last_entry_is_the_client_s(peer: str, forwarded: list[str], client: str) -> None:
    assert client_of(peer, forwarded, ()) == client


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("198.51.100.1", ["203.0.113.7"], "198.51.100.1"),  # not a proxy: what it says counts for nothing
        ("10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("::ffff:10.0.0.1", ["203.0.113.7"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7, 10.0.0.2, 10.0.0.3"], "203.0.113.7"),
        ("10.0.0.1", ["1.1.1.1, 203.0.113.7", "2001:db8::5"], "203.0.113.7"),
        ("10.0.0.1", ["10.0.0.4, 10.0.0.2"], "10.0.0.4"),  # a client inside
        ("10.0.0.1", [], "10.0.0.1"),
        ("10.0.0.1", ["unknown, 10.0.0.2"], "unknown"),
    ],
)
def test_trusted_proxies_are_passed_over(peer: str, forwarded: list[str], client: str) -> None:
    assert client_of(peer, forwarded, NETWORKS) == client


OUTSIDE = st.ip_addresses(v=4).filter(lambda address: not any(address in net for net in NETWORKS if net.version == 4))
INSIDE = st.sampled_from(["10.1.2.3", "127.0.0.1", "2001:db8::9", "10.9.9.9:80"])


@given(
    st.lists(st.text(st.characters(exclude_characters="\r\n"), max_size=20)), OUTSIDE, st.lists(INSIDE), st.booleans()
)
def test_nothing_that_a_client_writes_changes_its_address(
    written: list[str], client: object, passed: list[str], apart: bool
) -> None:
    """The first trusted proxy appends where the request came from; further ones append the proxies before them."""
    entries = [*written, str(client), *passed]
    forwarded = entries if apart else [",".join(entries)]
    assert client_of("10.0.0.1", forwarded, NETWORKS) == str(client)
    assert client_of(str(client), entries, NETWORKS) == str(client)
