"""What engines say about themselves, as they say it."""

import json

import pytest

from providers.local.engines import EngineKind, has_endpoint, is_ollama, names_cloud, read_models, read_tags, runs_here

TAGS = {
    "models": [
        {"name": "llama3:latest", "model": "llama3:latest", "size": 4_000_000_000, "details": {"family": "llama"}},
        {
            "name": "gpt-oss:120b-cloud",
            "model": "gpt-oss:120b-cloud",
            "remote_model": "gpt-oss:120b",
            "remote_host": "https://ollama.com:443",
        },
        {
            "name": "mine:latest",
            "model": "mine:latest",
            "remote_model": "gpt-oss:120b",
            "remote_host": "https://ollama.com:443",
        },
        {"name": "kimi:cloud", "model": "kimi:cloud"},
    ]
}


def test_ollama_s_models_are_those_that_run_here():
    assert read_tags(json.dumps(TAGS).encode()) == (
        ("llama3:latest",),
        frozenset(("gpt-oss:120b-cloud", "mine:latest", "kimi:cloud")),
    )
    assert read_tags(b'{"models":null}') == ((), frozenset())


@pytest.mark.parametrize("body", [b"", b"[]", b'{"models":[{}]}', b"\xff", b'{"models":"x"}'])
def test_what_can_t_be_read_is_no_list(body):
    assert read_tags(body) is None
    assert read_models(body) is None


@pytest.mark.parametrize(
    ("owner", "kind"),
    [
        ("llamacpp", EngineKind.LLAMA_CPP),
        ("vllm", EngineKind.VLLM),
        ("organization_owner", EngineKind.LM_STUDIO),
        ("me", EngineKind.OTHER),
        ("openai", EngineKind.OTHER),
    ],
)
def test_engines_sign_their_lists(owner, kind):
    body = {
        "object": "list",
        "data": [{"id": "a", "object": "model", "owned_by": owner}, {"id": "b:cloud", "owned_by": owner}],
    }
    assert read_models(json.dumps(body).encode()) == (("a",), kind)


@pytest.mark.parametrize(
    "name",
    [
        "kimi:cloud",
        "kimi:CLOUD",
        " kimi:cloud ",
        "gpt-oss:120b-cloud",
        "gpt-oss:120B-Cloud",
        "user/model:cloud",
        "x: cloud",
    ],
)
def test_names_of_the_cloud(name):
    assert names_cloud(name)


@pytest.mark.parametrize(
    "name", ["cloud", "cloudy:latest", "model-cloud", "m:cloud-7b", "m:local", "host:5000/model-cloud", "llama3"]
)
def test_names_of_this_machine(name):
    assert not names_cloud(name)


def test_ollama_is_asked_about_one_model():
    assert runs_here(b'{"details":{"family":"llama"},"model_info":{}}')
    assert not runs_here(b'{"details":{},"remote_host":"https://ollama.com:443"}')
    assert not runs_here(b'{"details":{},"remote_model":"gpt-oss:120b"}')
    for unknown in (b"{}", b"", b"[]", b"\xff"):
        assert not runs_here(unknown)


def test_ollama_tells_its_version():
    assert is_ollama(b'{"version":"0.40.12"}')
    for other in (b'{"version":""}', b'{"version":1}', b"{}", b"ok", b"\xff"):
        assert not is_ollama(other)


@pytest.mark.parametrize(
    ("status", "body", "has"),
    [
        (400, b'{"error":{"message":"model is required"}}', True),
        (422, b'{"detail":[]}', True),
        (500, b'{"error":{}}', True),
        (404, b"404 page not found", False),
        (405, b"", False),
        (401, b"", False),
        (501, b"", False),
        (200, b'{"error":"Unexpected endpoint or method. (POST /v1/messages)"}', False),
        (400, b'{"error":"Unexpected endpoint or method."}', False),
    ],
)
def test_an_empty_request_tells_whether_there_is_an_endpoint(status, body, has):
    assert has_endpoint(status, body) is has
