from __future__ import annotations

import msgspec
import pytest

from metering.usage import Geography, ServiceTier, Speed, Variant
from providers.answers.reading import read, read_strictly, stated_variant, value
from providers.dialect import Head
from providers.document.members import ABSENT


class Part(msgspec.Struct):
    a: msgspec.Raw = ABSENT


DECODER = msgspec.json.Decoder(Part)
WANTED = {b"a": None}


@pytest.mark.parametrize(
    "document",
    [
        b'{"a":{"x":1},"b":2}',
        b'{"b":NaN,"a":{"x":1}}',
        b'{"b":' + b"[" * 5000 + b"]" * 5000 + b',"a":{"x":1}}',
        b'{"b":"\xff\xfe","a":{"x":1}}',
    ],
)
def test_a_fault_beside_it_does_not_cost_the_member(document):
    found = read(DECODER, document, WANTED)
    assert found is not None
    assert value(found.a) == {"x": 1}


def test_a_number_that_json_does_not_have_costs_nothing_beside_it():
    for document in (b'{"a":{"x":1,"y":NaN}}', b'{"b":-Infinity,"a":{"x":1,"y":[NaN,Infinity]}}'):
        assert value(read(DECODER, document, WANTED).a)["x"] == 1
        assert value(read_strictly(DECODER, document).a)["x"] == 1
    assert value(msgspec.Raw(b'{"x":1,"y":NaN}')) == {"x": 1, "y": None}


@pytest.mark.parametrize("document", [b"", b'{"a":1', b"[1]", b"7", b'{"a":NaN,', b"{]"])
def test_what_is_no_whole_object_is_none(document):
    assert read(DECODER, document, WANTED) is None
    assert read_strictly(DECODER, document) is None


def test_a_member_that_is_absent_null_or_broken_has_no_value():
    assert value(ABSENT) is None
    assert value(msgspec.Raw(b"null")) is None
    assert value(msgspec.Raw(b"NaN")) is None


def test_what_the_answer_leaves_open_is_as_it_was_asked():
    head = Head(model="m", variant=Variant(ServiceTier.PRIORITY, Speed.FAST, Geography.EU))
    assert stated_variant(head) is None
    assert stated_variant(head, ServiceTier.STANDARD) == Variant(ServiceTier.STANDARD, Speed.FAST, Geography.EU)
    assert stated_variant(head, None, Speed.NORMAL, Geography.US) == Variant(
        ServiceTier.PRIORITY, Speed.NORMAL, Geography.US
    )
