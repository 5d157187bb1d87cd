import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.policy import version_key
from gateway.oauth.software import PROCESSORS, PROGRAMS, STAGES, SYSTEMS, readable


@pytest.mark.parametrize("version", ["", "9", "1.2.3", "v2.0", "1.2.3.4", "1.0.0-rc.1", "2026.11.24-nightly"])
def test_versions_that_products_have(version: str) -> None:
    assert readable(app_version=version).version == version


@pytest.mark.parametrize("platform", ["", "linux", "linux-x64", "darwin-arm64", "win32-helper", "macos-universal-ide"])
def test_platforms_that_products_have(platform: str) -> None:
    assert readable(platform=platform).platform == platform


@pytest.mark.parametrize(
    ("stated", "kept"),
    [
        ("1.2.3+20261128", "1.2.3"),
        ("1.2.3-rc.1+exp.sha.5114f85", "1.2.3-rc.1"),
        ("1.2.3+sk-secret", "1.2.3"),
        ("1.2.3+", "1.2.3"),
        ("1.105.20261128", "1.105"),
        ("1.105.20261128-insider", "1.105"),
        ("1.2.3.4.5", "1.2.3.4"),
        ("1.2.3-rc.1234567", "1.2.3-rc"),
        ("1.2.3-rc.1.2", "1.2.3-rc.1"),
    ],
)
def test_what_can_be_read_of_a_longer_version_is_kept(stated: str, kept: str) -> None:
    assert readable(app_version=stated).version == kept


@pytest.mark.parametrize(
    "text",
    [
        "fixTheLoginBug",
        "1.2.3-my_project",
        "1.2.3-my.project+1",
        "linux-mybranch",
        "20261128",
        "1.2.3\n",
        "1.2.3+a b",
        "\u0661.\u0662",
        "-",
        " 1",
    ],
)
def test_nothing_is_kept_of_a_text_of_ones_own(text: str) -> None:
    assert readable(text, text) == ("", "")


WORDS = st.sampled_from(
    [*SYSTEMS, *PROCESSORS, *PROGRAMS, *STAGES, "+", "-", ".", "v1", "0", "12345", "123456", "word"]
)


@given(
    st.text(alphabet=string.ascii_letters + string.digits + "._+-", max_size=32)
    | st.lists(WORDS, max_size=8).map("".join)
)
def test_what_is_kept_is_the_beginning_and_made_of_numbers_and_known_words(text: str) -> None:
    known = {*SYSTEMS, *PROCESSORS, *PROGRAMS, *STAGES, "v", ""}
    for kept in readable(text, text):
        assert text.startswith(kept)
        words = kept.replace("x86_64", "").replace(".", "-").split("-")
        numbers = [word.removeprefix("v") for word in words if word.removeprefix("v").isdigit()]
        assert {word for word in words if not word.removeprefix("v").isdigit()} <= known
        assert all(len(number) <= 5 for number in numbers)
    assert version_key(readable(text).version) <= version_key(text) or version_key(text) == ((), -1)


@pytest.mark.parametrize("version", ["9", "1.2.3", "v2.0", "1.0.0-rc.1"])
def test_the_policy_reads_every_version_that_is_kept(version: str) -> None:
    assert version_key(version) > version_key("no version")
