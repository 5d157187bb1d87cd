"""What a profile states, and that each of its parts can be stated otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from providers.dialect import Family, Operation
from providers.hosts.profiles import PROFILES, RESPONSES, ProfileName
from providers.wires import WIRES
from tests.gateway.config.parsing import PROVIDER, fault, model, parse

DOCUMENT = Path(__file__).parents[3] / "docs/configuration.md"
CHAT, COMPLETIONS = Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS


def stated(text: str):
    return parse(model(), provider=PROVIDER + text).providers["openai"]


@pytest.mark.parametrize("name", ProfileName)
def test_a_provider_with_a_profile_needs_no_base_url(name):
    provider, profile = stated(f'profile = "{name}"\n'), PROFILES[name]
    assert str(provider.endpoint) == profile.base_url
    assert provider.operations == profile.operations
    assert (provider.store, provider.include_usage, provider.completion_limit) == (
        profile.store,
        profile.include_usage,
        profile.completion_limit,
    )
    assert not provider.first_party  # nor has it the maker's prices, also on this machine
    assert not provider.published_prices


def test_each_setting_overrides_its_profile():
    provider = stated(
        'profile = "mistral"\nbase_url = "https://h.example/v9"\nstore = true\ninclude_usage = true\n'
        "completion_limit = true\nresponses = true\n"
    )
    assert str(provider.endpoint) == "https://h.example/v9"
    assert (provider.store, provider.include_usage, provider.completion_limit) == (True, True, True)
    assert provider.serves(Operation.OPENAI_RESPONSES)
    assert not provider.serves(COMPLETIONS)


@pytest.mark.parametrize("name", ProfileName)
def test_responses_are_what_the_operator_says(name):
    assert stated(f'profile = "{name}"\nresponses = true\n').serves(Operation.OPENAI_RESPONSES)
    without = stated(f'profile = "{name}"\nresponses = false\n')
    assert not any(without.serves(operation) for operation in RESPONSES)
    assert without.serves(CHAT)


@pytest.mark.parametrize("text", ["", 'base_url = "https://elsewhere.example"\n'])
def test_without_a_profile_every_operation_of_the_api_is_tried(text):
    provider = stated(text)
    assert [of for of in WIRES if provider.serves(of)] == [of for of in WIRES if of.family is Family.OPENAI]
    limited = stated(text + "responses = false\n")
    assert {of for of in WIRES if provider.serves(of) and not limited.serves(of)} == RESPONSES


def test_the_limit_of_a_host_without_a_profile_has_its_older_name():
    assert stated("").completion_limit
    assert not stated('base_url = "https://elsewhere.example"\n').completion_limit


def test_an_operation_at_another_path():
    deepseek = stated('profile = "deepseek"\n')
    assert deepseek.url(WIRES[COMPLETIONS], "m") == "https://api.deepseek.com/beta/completions"
    assert deepseek.url(WIRES[CHAT], "m") == "https://api.deepseek.com/v1/chat/completions"


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('profile = "acme"\n', "providers.openai.profile: is not one of the values; write one of openrouter, groq"),
        ('responses = "no"\n', "providers.openai.responses: is neither true nor false"),
    ],
)
def test_a_profile_is_read_strictly(text, line):
    assert fault(model(), provider=PROVIDER + text).startswith(line)


def test_a_profile_is_one_of_openais_api():
    anthropic = PROVIDER.replace('kind = "openai"', 'kind = "anthropic"')
    assert fault(model(), provider=anthropic + 'profile = "groq"\n').startswith(
        "providers.openai.profile: is not for this kind"
    )
    assert (
        fault(model(), provider=anthropic + "responses = true\n")
        == "providers.openai.responses: is not a key; remove it"
    )


def test_the_document_has_each_profile_as_it_is():
    rows = {
        row[0]: row[1:]
        for line in DOCUMENT.read_text().splitlines()
        if line.startswith("| `") and len(row := [cell.strip(" `") for cell in line.strip("|").split("|")]) == 7
    }
    assert set(rows) == set(ProfileName)
    for name, profile in PROFILES.items():
        url, served, fim, store, usage, limit = rows[name]
        assert url == profile.base_url, name
        assert {f"openai.{word}" for word in re.findall(r"\w+", served)} == profile.operations, name
        assert (store, usage) == tuple("yes" if known else "no" for known in (profile.store, profile.include_usage)), (
            name
        )
        assert limit == ("max_completion_tokens" if profile.completion_limit else "max_tokens"), name
        assert fim, name
