"""One reader of ``store.url``, for everything that needs a part of it."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.store.address import SCHEMES, InvalidAddress, StoreKind, read_address

SENTINEL, SERVER, CLUSTER = StoreKind.SENTINEL, StoreKind.SERVER, StoreKind.CLUSTER


@pytest.mark.parametrize(
    ("url", "kind", "hosts"),
    [
        ("embedded:", StoreKind.EMBEDDED, ()),
        ("redis://h", SERVER, (("h", 6379),)),
        ("rediss://:p@h:1/2", SERVER, (("h", 1),)),
        ("redis://[::1]:5/", SERVER, (("::1", 5),)),
        ("redis+cluster://h:1/0", CLUSTER, (("h", 1),)),
        ("redis+sentinel://h/main", SENTINEL, (("h", 26379),)),
        ("redis+sentinel://h:1,i:2/main", SENTINEL, (("h", 1), ("i", 2))),
        ("rediss+sentinel://u:p@[::1]:5,[::2],h:3/main/7", SENTINEL, (("::1", 5), ("::2", 26379), ("h", 3))),
    ],
)
def test_forms(url, kind, hosts):
    found = read_address(url)
    assert (found.kind, found.hosts, found.tls) == (kind, hosts, url.startswith("rediss"))


def test_credentials_database_service_and_tls():
    found = read_address("rediss+sentinel://us%3Aer:p%40ss@h:1/main/7?ssl_ca_certs=/a%20b&ssl_check_hostname=no")
    assert (found.username, found.password, found.service, found.db) == ("us:er", "p@ss", "main", 7)
    assert found.tls_options == {"ssl_ca_certs": "/a b", "ssl_check_hostname": False}
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "", "embedded", "embedded://", "redis:", "redis://", "http://h", "unix:///s", "redis://[x", "REDIS://h",
        "redis://h:0x1", "redis://h:99999", "redis://h:0", "redis://h/x", "redis://h/1/2", "redis://h?db=1", "redis://h#a",
        "redis://h:1,i:2", "redis+cluster://h:1,i:2", "redis+cluster://h/1", "redis+other://h/main",
        "redis+sentinel://h:1", "redis+sentinel:///main", "redis+sentinel://h,/main", "redis+sentinel://h/main/x",
        "redis+sentinel://h:1,i:x/main", "redis://h?ssl_ca_certs=/a", "rediss://h?other=1",
        "rediss://h?ssl_cert_reqs=maybe", "rediss://h?ssl_check_hostname=maybe", "rediss://h?ssl_ca_certs",
    ],
)  # fmt: skip
def test_what_is_no_address(url):
    with pytest.raises(InvalidAddress, match="redis"):
        read_address(url)


TEXT = st.text(alphabet="ah:,/@[]?=&#%.019 -é\n", max_size=30)


@given(st.sampled_from((*SCHEMES, "embedded", "other")), TEXT)
def test_any_text_is_an_address_or_refused(scheme, rest):
    try:
        found = read_address(f"{scheme}://{rest}")
    except InvalidAddress:
        return
    assert found.hosts
    assert all(host and 0 < port < 65_536 for host, port in found.hosts)


@given(st.text(min_size=1, max_size=20))
def test_a_password_is_never_quoted(secret):
    secret = f"{secret}secret"
    for url in (f"redis://u:{secret}@h:x", f"redis+sentinel://u:{secret}@h"):
        with pytest.raises(InvalidAddress) as caught:
            read_address(url)
        assert secret not in str(caught.value)
