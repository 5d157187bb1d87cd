import pytest
from hypothesis import given
from hypothesis import strategies as st

from metering.spool.frames import ERASED, INTENT, MAGIC, SETTLED, VOIDED, frame, frames, torn

kinds = st.sampled_from([INTENT, SETTLED, VOIDED, ERASED])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
contents = st.lists(st.tuples(kinds, texts), max_size=8)


def joined(content):
    return b"".join(frame(kind, text) for kind, text in content)


@given(contents)
def test_what_was_written_is_read(content):
    assert list(frames(joined(content))) == content
    assert torn(joined(content)) == 0


@given(contents, st.data())
def test_a_torn_tail_costs_the_last_frame_alone(content, data):
    whole = joined(content)
    cut = data.draw(st.integers(0, len(whole)))
    read = list(frames(whole[:cut]))
    assert read == content[: len(read)]
    assert len(joined(content[: len(read)])) + torn(whole[:cut]) == cut


@given(contents, contents, st.binary(max_size=30))
def test_damage_in_the_middle_costs_what_it_hits(before, after, damage):
    data = joined(before) + damage + joined(after)
    read = list(frames(data))
    assert read[: len(before)] == before
    assert read[len(read) - len(after) :] == after


@given(contents, st.data())
def test_a_flipped_bit_is_noticed(content, data):
    whole = bytearray(joined(content))
    if whole:
        at = data.draw(st.integers(0, len(whole) - 1))
        whole[at] ^= 1 << data.draw(st.integers(0, 7))
        assert list(frames(bytes(whole))) != content
        assert all(item in content for item in frames(bytes(whole)))


def test_magic_inside_a_payload_confuses_nobody():
    text = MAGIC.decode("latin-1") * 10
    content = [(SETTLED, text), (VOIDED, "p r")]
    assert list(frames(joined(content))) == content


def test_a_frame_has_an_end():
    with pytest.raises(ValueError, match="64 KiB"):
        frame(SETTLED, "x" * 70_000)
