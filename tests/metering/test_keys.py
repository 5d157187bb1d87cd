import pytest
from redis.crc import key_slot

from metering import keys


def test_partitions_are_fixed_for_ever():
    assert [keys.partition(pid) for pid in ("p", "pabc", "paaaaaaaaaaaaaaaaaaaaaaaa")] == [151, 163, 19]


def test_all_256_are_used():
    assert {keys.partition(f"p{number}") for number in range(5000)} == set(range(256))


def test_a_partition_is_one_cluster_slot():
    for p in range(256):
        assert key_slot(f"{keys.tag(p)}acct:pabc".encode()) == keys.slot(p)
        assert key_slot(keys.usage_stream(p).encode()) == keys.slot(p)


@pytest.mark.parametrize("text", ["", "a b", "a:b", "a{b", "a\n", "x" * 65, "é"])
def test_what_may_not_stand_in_a_key(text):
    assert not keys.is_id(text)


def test_a_grant_id_is_not_kept():
    digest = keys.grant_digest("invoice of alice@example.com")
    assert keys.is_id(digest)
    assert digest == keys.grant_digest("invoice of alice@example.com")
    assert digest != keys.grant_digest("invoice of bob@example.com")
