import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.policy import version_key
from gateway.oauth.software import PROCESSORS, PROGRAMS, STAGES, SYSTEMS, check_software


@pytest.mark.parametrize("version", ["", "9", "1.2.3", "v2.0", "1.2.3.4", "1.0.0-rc.1", "2026.11.24-nightly"])
def test_versions_that_products_have(version: str) -> None:
    check_software(app_version=version)


@pytest.mark.parametrize("platform", ["", "linux", "linux-x64", "darwin-arm64", "win32-helper", "macos-universal-ide"])
def test_platforms_that_products_have(platform: str) -> None:
    check_software(platform=platform)


@pytest.mark.parametrize(
    "text",
    [
        "fixTheLoginBug",
        "1.2.3+sk-secret",
        "1.2.3-my_project",
        "linux-mybranch",
        "1.2.3\n",
        "1.2.3.4.5",
        "\u0661.\u0662",
        "-",
        " 1",
    ],
)
def test_a_text_of_ones_own_is_neither_and_is_not_repeated(text: str) -> None:
    for name in ("app_version", "platform"):
        with pytest.raises(ValueError, match="closed") as caught:
            check_software(**{name: text})
        assert text not in str(caught.value)


@given(st.text(alphabet=string.ascii_letters + string.digits + "._+-", max_size=32))
def test_what_passes_is_made_of_numbers_and_known_words_alone(text: str) -> None:
    known = {*SYSTEMS, *PROCESSORS, *PROGRAMS, *STAGES, "v", ""}
    for name in ("app_version", "platform"):
        try:
            check_software(**{name: text})
        except ValueError:
            continue
        words = text.replace("x86_64", "").replace(".", "-").split("-")
        assert {word.removeprefix("v") for word in words if not word.removeprefix("v").isdigit()} <= known


@pytest.mark.parametrize("version", ["9", "1.2.3", "v2.0", "1.0.0-rc.1"])
def test_the_policy_reads_every_version_that_passes(version: str) -> None:
    assert version_key(version) > version_key("no version")
