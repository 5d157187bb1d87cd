"""Credentials of clouds are seen wherever they may lie."""

import pytest

from gateway.local.credentials import in_configuration, in_environment


@pytest.mark.parametrize(
    "name",
    [
        "OPENAI_API_KEY",
        "ANTHROPIC_API_KEY",
        "ANTHROPIC_AUTH_TOKEN",
        "GEMINI_API_KEY",
        "GOOGLE_API_KEY",
        "GOOGLE_APPLICATION_CREDENTIALS",
        "AZURE_OPENAI_API_KEY",
        "AWS_SECRET_ACCESS_KEY",
        "AWS_BEARER_TOKEN_BEDROCK",
        "MISTRAL_API_KEY",
        "XAI_API_KEY",
        "OPENROUTER_API_KEY",
        "OLLAMA_API_KEY",
        "HF_TOKEN",
        "openai_api_key",
        "SOME_NEW_CLOUD_API_KEYS",
    ],
)
def test_variables(name):
    assert in_environment({name: "sk-1", "PATH": "/bin"}) == [name]


def test_what_is_no_credential_of_a_cloud():
    assert (
        in_environment(
            {
                "OPENAI_API_KEY": "",
                "ANTHROPIC_API_KEY": " ",
                "HTTP_PROXY": "http://x",
                "OPENAI_BASE_URL": "http://x",
                "KEYBOARD": "x",
                "OLLAMA_HOST": "x",
            }
        )
        == []
    )


@pytest.mark.parametrize(
    ("table", "found"),
    [
        ({"providers": {"openai": {"api_keys": ["x"]}}}, ["providers"]),
        ({"engines": [{"api_key": "x"}]}, ["engines.api_key"]),
        ({"a": {"b": {"client_secret": "x", "port": 1}}}, ["a.b.client_secret"]),
        ({"Token": "x", "password": "y"}, ["Token", "password"]),
        ({"port": 8081, "engines": ["127.0.0.1:1"]}, []),
    ],
)
def test_configurations(table, found):
    assert in_configuration(table) == found
