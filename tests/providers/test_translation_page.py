"""Every member of the register has a decision for every dialect, and the page says what the tables say."""

import pytest

from providers.conversation.conversation import Dialect
from providers.conversation.features import Feature
from providers.conversation.translated_members import MEMBERS, dropped_members
from providers.dialect import Operation
from providers.members import google
from providers.members.register import REGISTER
from tests.providers.translation_page import PAGE, page

TABLES = {
    Dialect.CHAT: REGISTER[Operation.OPENAI_CHAT],
    Dialect.RESPONSES: REGISTER[Operation.OPENAI_RESPONSES],
    Dialect.MESSAGES: REGISTER[Operation.ANTHROPIC_MESSAGES],
    Dialect.GEMINI: google.GENERATE,
}


def paths(table):
    """The members at the top level and in the objects there; what is deeper belongs to them."""
    for name, member in table.items():
        yield name
        if name != "generateContentRequest":  # the whole request once more
            yield from (f"{name}.{inner}" for inner in member.inside or ())


@pytest.mark.parametrize("dialect", Dialect)
def test_every_member_of_the_register_is_a_feature(dialect):
    assert set(paths(TABLES[dialect])) - set(MEMBERS[dialect]) == set()


def test_the_page_is_written_from_the_tables_and_has_no_empty_cell():
    text = page()
    assert PAGE.read_text() == text
    for line in text.splitlines():
        if line.startswith("|"):
            assert all(cell.strip() for cell in line.strip("|").split("|")), line


def test_what_is_dropped_is_named_as_the_caller_wrote_it():
    said = ["model", "messages", "seed", "user", "stream", "top_k", "logit_bias", "unheard_of"]
    assert dropped_members(Dialect.CHAT, Dialect.MESSAGES, said, frozenset((Feature.SEED,))) == (
        "logit_bias",
        "seed",
        "user",
    )
    assert dropped_members(Dialect.CHAT, Dialect.GEMINI, ["messages", "n"], frozenset((Feature.IMAGE_DETAIL,))) == (
        "messages.content.image_url.detail",
    )
