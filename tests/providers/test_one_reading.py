"""Whatever way a refused request is written, it is refused, or no reader of JSON finds what is refused in what arrives.

Requests of one table (`tests.refused_requests`) are changed in the ways in which readers differ: names that stand twice
or in other letters, elements of another form, order, blanks and escapes. What the provider would get is then read as
different parsers do, and each reading is given back to the gateway: it must be one of which nothing is refused or removed.
"""

from __future__ import annotations

import copy
import json
import random
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from providers.anthropic.messages import check_betas
from providers.dialect import Family, Refusal, Target
from providers.document.look import objects_of
from providers.document.strings import folded
from providers.members import parts
from providers.members.register import REGISTER, tables_of
from providers.paths import PathFault, resolve
from providers.steps import at_once
from providers.tools.catalog import refuse_tools
from providers.tools.removal import less_refused
from providers.wires import WIRES
from tests.json_texts import Pairs, texts, tree
from tests.members.gate import NESTED
from tests.refused_requests import BETAS, PRIVATE_PATHS, REMOVED, UNSUPPORTED_PATHS, rows

ROWS = [*rows(), *REMOVED]
NONE: frozenset[str] = frozenset()
NAMES = {
    family: {
        folded(name): name
        for table in (NESTED[family], *(REGISTER[operation] for operation in REGISTER if operation.family is family))
        for inner in tables_of(table)
        for name in inner
    }
    for family in Family
}
"""The API's own name for each folded one."""
OBJECTS = {name for table in REGISTER.values() for name, member in table.items() if member.inside}


def arrives(operation, body):
    """What the provider gets of a request, or the code with which it is refused."""
    wire = WIRES[operation]
    try:
        head = less_refused(at_once(wire.read(body, "m" if operation.family is Family.GOOGLE else None)), NONE)
        refuse_tools(head, NONE)
    except Refusal as refused:
        return refused.code
    return at_once(wire.splice(body, head, Target("m", pseudonym="p-1", include_usage=False)))


def readings(family, body):
    """What parsers make of a document: of duplicates the last or the first, names folded or not, odd elements skipped."""
    names = NAMES[family]

    def first_wins(pairs):
        return dict(reversed(pairs))

    def folds(wins):
        return lambda pairs: wins([(names.get(folded(name), name), value) for name, value in pairs])

    for wins, folding, skipping in product((dict, first_wins), (False, True), (False, True)):
        value = json.loads(body, object_pairs_hook=folds(wins) if folding else wins)
        if skipping:
            value = lenient({name: alone(inner) if name in OBJECTS else inner for name, inner in value.items()})
        yield value


def lenient(value):
    """As a reader has it that skips what does not fit: of a list the objects, and those of lists in it."""
    if isinstance(value, dict):
        return {name: lenient(inner) for name, inner in value.items()}
    if not isinstance(value, list):
        return value
    flat = [inner for one in value for inner in (one if isinstance(one, list) else [one])]
    fits = [one for one in flat if isinstance(one, dict)]
    return [lenient(one) for one in fits or value]


def alone(value):
    """The one object of a list."""
    return value[0] if isinstance(value, list) and len(value) == 1 and isinstance(value[0], dict) else value


def found_in(operation, body):
    """What a reader finds in what arrives that the gateway refuses or removes; empty if there is nothing."""
    sent = arrives(operation, body)
    if isinstance(sent, str):
        return ""
    for reading in readings(operation.family, sent):
        again = arrives(operation, json.dumps(reading).encode())
        if isinstance(again, str):
            if again != "invalid_request":  # which no provider takes, either
                return again
        elif json.loads(again) != reading:
            return "removed"
    return ""


# -- changes ------------------------------------------------------------------------------------

WIDE = {"s": "\u017f", "k": "\u212a", "i": "\uff49", "_": "\uff3f", "e": "\uff45"}
HARMLESS = (None, "", "x", 0, False, [], Pairs(), ["x"], Pairs([("type", "text"), ("text", "x")]))


def respelled(name, rng):
    match rng.randrange(6):
        case 0:
            return name.upper()
        case 1:
            return name[:1].upper() + name[1:]
        case 2:
            return name.swapcase()
        case 3:
            return "".join(WIDE.get(letter, letter) for letter in name)
        case 4:
            at = rng.randrange(len(name) or 1)
            return name[:at] + name[at : at + 1].swapcase() + name[at + 1 :]
    return rng.choice(["", " "]) + name + rng.choice(["", " ", "\u200b", "\x00"])


def respell(members, rng):
    at = rng.randrange(len(members))
    name, value = members[at]
    members[at] = (respelled(name, rng), value)


def double(members, rng):
    name, _ = rng.choice(members)
    written = rng.choice([name, name, respelled(name, rng)])
    members.insert(rng.randrange(len(members) + 1), (written, copy.deepcopy(rng.choice(HARMLESS))))


def double_whole(members, rng):
    name, value = rng.choice(members)
    members.insert(rng.randrange(len(members) + 1), (respelled(name, rng), copy.deepcopy(value)))


def reshape(members, rng):
    at = rng.randrange(len(members))
    name, value = members[at]
    match rng.randrange(4):
        case 0:
            value = [value]
        case 1:
            value = value[0] if type(value) is list and len(value) == 1 else [[value]]
        case 2:
            value = Pairs([(name, value)])
        case 3:
            value = [copy.deepcopy(rng.choice(HARMLESS)), value]
    members[at] = (name, value)


def add_elements(elements, rng):
    elements.insert(rng.randrange(len(elements) + 1), copy.deepcopy(rng.choice(HARMLESS)))


def nest_element(elements, rng):
    at = rng.randrange(len(elements))
    elements[at] = [elements[at]]


def reorder(values, rng):
    rng.shuffle(values)


OF_OBJECTS = (respell, double, double_whole, reshape, reorder)
OF_LISTS = (add_elements, nest_element, reorder)


def containers(value):
    """Each object and list that holds something."""
    if isinstance(value, list) and value:
        yield value
        for inner in value:
            yield from containers(inner[1] if isinstance(value, Pairs) else inner)


def changed(members, rng, changes):
    """A request, changed so many times, as text."""
    request = tree({"model": "m", **members})
    for _ in range(changes):
        one = rng.choice(list(containers(request)))
        rng.choice(OF_OBJECTS if isinstance(one, Pairs) else OF_LISTS)(one, rng)
    return texts(request, rng).encode()


def each_change(members, rng):
    """A request, changed once: at every place in every way."""
    count = sum(1 for _ in containers(tree({"model": "m", **members})))
    for number in range(count):
        for change in {*OF_OBJECTS, *OF_LISTS}:
            request = tree({"model": "m", **members})
            one = list(containers(request))[number]
            if change in (OF_OBJECTS if isinstance(one, Pairs) else OF_LISTS):
                change(one, rng)
                yield texts(request, rng).encode()


# -- tests --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("operation", "members"), rows())
def test_a_request_of_the_table_is_refused_as_it_is(operation, members):
    code = arrives(operation, json.dumps({"model": "m", **members}).encode())
    assert isinstance(code, str)
    assert code != "invalid_request"


def test_what_is_refused_stays_so_however_one_place_is_changed():
    rng = random.Random(14)
    for operation, members in ROWS:
        for body in each_change(members, rng):
            assert found_in(operation, body) == "", (operation, body)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(ROWS), st.integers(0, 2**32), st.integers(2, 5))
def test_what_is_refused_stays_so_however_it_is_changed(row, seed, changes):
    operation, members = row
    body = changed(members, random.Random(seed), changes)
    assert found_in(operation, body) == "", body


@pytest.mark.parametrize("weakness", ["_refuse_spelled", "all_objects"])
def test_a_gateway_that_skips_what_does_not_fit_would_be_found_out(monkeypatch, weakness):
    skipping = {"_refuse_spelled": lambda *_: None, "all_objects": objects_of}
    monkeypatch.setattr(parts, weakness, skipping[weakness])
    rng = random.Random(14)
    assert any(found_in(operation, body) for operation, members in ROWS for body in each_change(members, rng))


@given(st.sampled_from(BETAS), st.randoms(use_true_random=False))
def test_a_beta_is_refused_in_every_spelling(beta, rng):
    written = "".join(rng.choice([letter, letter.upper(), "_" if letter == "-" else letter]) for letter in beta)
    values = [rng.choice(["", " ", "\t"]) + written + rng.choice(["", " "]), "context-1m-2025-08-07", ""]
    rng.shuffle(values)
    for headers in (values, [",".join(values)], [",".join(values), beta]):
        with pytest.raises(Refusal):
            check_betas(headers)


LINES = [(family, line) for table in (PRIVATE_PATHS, UNSUPPORTED_PATHS) for family in table for line in table[family]]


@settings(deadline=None)
@given(st.sampled_from(LINES), st.randoms(use_true_random=False))
def test_a_path_is_served_in_no_spelling(row, rng):
    family, line = row
    method, path = line.split()
    written = "".join(
        rng.choice([letter] * 6 + [f"%{ord(letter):02x}", letter.swapcase(), letter * (1 + (letter == "/"))])
        for letter in path
    )
    written += rng.choice(["", "/", "//", "%2f"])
    assert isinstance(resolve(method, written, family if family is Family.ANTHROPIC else None), PathFault)
