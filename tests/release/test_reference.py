"""The pages of ``docs/reference/`` are what the code says, and say it of every key."""

from __future__ import annotations

import re

import pytest

from release.reference import FOLDER, PAGES, configuration, keys, meanings


@pytest.mark.parametrize("name", PAGES)
def test_a_page_is_as_its_writer_writes_it(name: str) -> None:
    assert (FOLDER / name).read_text() == PAGES[name](), "run make reference"


def test_there_is_no_other_page() -> None:
    assert {path.name for path in FOLDER.iterdir()} == set(PAGES)


def test_every_row_has_as_many_cells_as_its_table() -> None:
    for page in PAGES.values():
        columns = 0
        for line in page().splitlines():
            cells = len(re.findall(r"(?<!\\)\|", line)) if line.startswith("|") else 0
            assert not (columns and cells) or cells == columns, line
            columns = cells


def test_a_key_has_the_bounds_that_its_reader_checks_and_the_meaning_that_the_example_states() -> None:
    found, said = keys(), meanings()
    assert found["server", "port"] == ("integer from 0 to 65535", 8080)
    assert found["providers.NAME", "training"][0] == "`true` or `false`"
    assert "| `retention_days` | integer from" in configuration().partition("## `[[models.targets]]`")[2]
    assert said["server", "tls_cert"] == (
        '"tls/chain.pem"',
        "TLS on the listener: the chain and its unencrypted key; read again when they change",
    )
    assert said["policy", "secrets"][1].startswith("Credentials and personal data in prompts: off | block")
