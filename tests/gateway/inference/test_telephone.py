"""Numbers are numbers by the library's own metadata: the same answers as its parser's."""

import random

import phonenumbers
import pytest

from gateway.inference.telephone import Telephone

TELEPHONE = Telephone()


def library(digits):
    try:
        return phonenumbers.is_valid_number(phonenumbers.parse(f"+{digits}", None))
    except phonenumbers.NumberParseException:
        return False


def examples():
    kinds = [value for name, value in vars(phonenumbers.PhoneNumberType).items() if name.isupper()]
    for region in phonenumbers.SUPPORTED_REGIONS:
        for kind in kinds:
            number = phonenumbers.example_number_for_type(region, kind)
            if number is not None:
                yield phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164)[1:]


def test_every_example_of_every_country_is_one():
    found = list(examples())
    assert len(found) > 1_000
    assert [digits for digits in found if not TELEPHONE.valid(digits)] == []


def test_random_digits_are_what_the_library_says():
    chance = random.Random(1)
    drawn = [str(chance.randint(10**6, 10**14)) for _ in range(3_000)]
    drawn += [digits[:-2] + str(chance.randint(10, 99)) for digits in examples()]
    different = [digits for digits in drawn if TELEPHONE.valid(digits) != library(digits)]
    # The library also strips what is dialled before a number at home where it is a pattern and not a prefix.
    assert len(different) < len(drawn) / 100, different[:20]


@pytest.mark.parametrize("digits", ["442079460958", "4402079460958", "14155550100", "80012345678"])
def test_a_number(digits):
    assert TELEPHONE.valid(digits)


@pytest.mark.parametrize("digits", ["", "0", "1", "999", "1764250000", "1764250000000", "210123456789012"])
def test_no_number(digits):
    assert not TELEPHONE.valid(digits)
