"""A seal travels through every provider's place and comes back as it was."""

from base64 import b64decode

from hypothesis import given
from hypothesis import strategies as st

from providers.conversation.conversation import Seal
from providers.conversation.envelope import opened, sealed_for
from providers.dialect import Family

FAMILIES = st.sampled_from(list(Family))
SEALS = st.builds(
    Seal,
    FAMILIES,
    st.text(st.characters(codec="ascii"), min_size=1),
    st.text("abc_0", max_size=9),
    st.booleans(),
)


@given(SEALS, FAMILIES)
def test_there_and_back(seal, place):
    there = sealed_for(place, seal)
    assert opened(place, there, identity=seal.id, redacted=seal.redacted) == seal
    if place is not seal.family:
        b64decode(there, validate=True)  # Google's place takes nothing else


def test_what_another_made_is_the_provider_s_own():
    for data in ("Y29kZWdyZXg6", "Y29kZWdyZXg6eA==", "Y29kZWdyZXg6bm9ib2R5Ojo6eA==", "sig"):
        assert opened(Family.GOOGLE, data) == Seal(Family.GOOGLE, data)
