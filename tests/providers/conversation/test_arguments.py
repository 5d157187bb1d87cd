"""The arguments of a call are a JSON object, whose bytes stay."""

import pytest

from providers.conversation.arguments import read_object


def test_an_object_keeps_its_bytes():
    assert bytes(read_object('{"a": 1.0}') or b"") == b'{"a": 1.0}'
    assert bytes(read_object("") or b"") == b"{}"


@pytest.mark.parametrize("text", ["[1]", "{", "null", '"a"', '{"a":1}{', '{"a":' * 5_000])
def test_anything_else_is_none(text):
    assert read_object(text) is None
