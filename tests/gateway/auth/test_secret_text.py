import re

from gateway.auth.secret_text import derived, drawn

KEY = b"k" * 32


def test_drawn_secrets_differ_and_are_base_62():
    texts = {drawn() for _ in range(50)}
    assert len(texts) == 50
    assert all(re.fullmatch(r"[0-9A-Za-z]{43}", text) for text in texts)
    assert 62**43 > 2**256


def test_a_derived_secret_is_the_same_each_time_and_another_for_anything_else():
    first = derived(KEY, "one", "text")
    assert first == derived(KEY, "one", "text")
    assert re.fullmatch(r"[0-9A-Za-z]{43}", first)
    assert (
        len({first, derived(KEY, "two", "text"), derived(KEY, "one", "texts"), derived(b"x" * 32, "one", "text")}) == 4
    )


def test_a_part_of_it_can_be_asked_for():
    assert len(derived(KEY, "one", "text", 11)) == 11
    assert len(derived(KEY, "one", "\udcff", 11)) == 11
