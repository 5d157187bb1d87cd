from __future__ import annotations

import pytest

from providers.dialect import Family, Operation
from providers.paths import Canonical, PathFault, Route, Surface, canonical, family_of_headers, resolve

PLAIN = {
    "/chat/completions": (Family.OPENAI, Operation.OPENAI_CHAT),
    "/responses": (Family.OPENAI, Operation.OPENAI_RESPONSES),
    "/responses/compact": (Family.OPENAI, Operation.OPENAI_COMPACT),
    "/responses/input_tokens": (Family.OPENAI, Operation.OPENAI_INPUT_TOKENS),
    "/completions": (Family.OPENAI, Operation.OPENAI_COMPLETIONS),
    "/embeddings": (Family.OPENAI, Operation.OPENAI_EMBEDDINGS),
    "/messages": (Family.ANTHROPIC, Operation.ANTHROPIC_MESSAGES),
    "/messages/count_tokens": (Family.ANTHROPIC, Operation.ANTHROPIC_COUNT_TOKENS),
}
VERBS = {
    "generateContent": Operation.GEMINI_GENERATE,
    "streamGenerateContent": Operation.GEMINI_STREAM,
    "countTokens": Operation.GEMINI_COUNT_TOKENS,
    "embedContent": Operation.GEMINI_EMBED,
    "batchEmbedContents": Operation.GEMINI_BATCH_EMBED,
}


@pytest.mark.parametrize("prefix", ["", "/v1", "/v1/v1"])
@pytest.mark.parametrize("path", PLAIN)
def test_every_base_url_reaches_every_operation(prefix, path):
    family, operation = PLAIN[path]

    assert resolve("POST", prefix + path) == Route(Surface.INFERENCE, family, operation)
    assert resolve("POST", prefix + path + "/") == Route(Surface.INFERENCE, family, operation)
    assert resolve("POST", "/" + prefix + path.replace("/", "//")) == Route(Surface.INFERENCE, family, operation)


@pytest.mark.parametrize("prefix", ["/v1beta", "/v1/v1beta", "/v1", "/v1beta/v1beta", "/v1beta/v1", ""])
@pytest.mark.parametrize("verb", VERBS)
def test_gemini_names_its_model_in_the_path(prefix, verb):
    expected = Route(Surface.INFERENCE, Family.GOOGLE, VERBS[verb], "gemini-2.5-pro")

    assert resolve("POST", f"{prefix}/models/gemini-2.5-pro:{verb}") == expected
    assert resolve("POST", f"{prefix}/models/gemini%2D2.5-pro%3A{verb}") == expected


def test_every_operation_has_a_path():
    found = {operation for _, operation in PLAIN.values()} | set(VERBS.values())
    assert set(Operation) - found == {Operation.OPENAI_FILL_IN}  # asked of hosts only, in place of completions


@pytest.mark.parametrize(
    ("path", "route"),
    [
        ("/v1/models", Route(Surface.MODELS, Family.OPENAI)),
        ("/models", Route(Surface.MODELS, Family.OPENAI)),
        ("/v1/v1/models", Route(Surface.MODELS, Family.OPENAI)),
        ("/v1beta/models", Route(Surface.MODELS, Family.GOOGLE)),
        ("/v1/v1beta/models", Route(Surface.MODELS, Family.GOOGLE)),
        ("/v1/models/gpt-5", Route(Surface.MODEL, Family.OPENAI, name="gpt-5")),
        ("/v1/models/ft:gpt:org:x", Route(Surface.MODEL, Family.OPENAI, name="ft:gpt:org:x")),
        ("/v1/models/vendor/model", Route(Surface.MODEL, Family.OPENAI, name="vendor/model")),
        ("/v1/models/vendor%2Fmodel", Route(Surface.MODEL, Family.OPENAI, name="vendor/model")),
        ("/v1beta/models/gemini", Route(Surface.MODEL, Family.GOOGLE, name="gemini")),
        ("/v1/responses", Route(Surface.WEBSOCKET, Family.OPENAI)),
    ],
)
def test_what_is_fetched(path, route):
    assert resolve("GET", path) == route


@pytest.mark.parametrize("family", [Family.ANTHROPIC, Family.GOOGLE])
@pytest.mark.parametrize("path", ["/v1/models", "/v1/models/", "/v1/models/m"])
def test_headers_decide_the_form_of_the_models(family, path):
    route = resolve("GET", path, family)

    assert isinstance(route, Route)
    assert route.family is family


def test_headers_do_not_change_what_a_path_says():
    assert resolve("POST", "/v1/messages", Family.GOOGLE) == resolve("POST", "/v1/messages")
    assert resolve("GET", "/v1beta/models/m", Family.ANTHROPIC).family is Family.GOOGLE


@pytest.mark.parametrize(
    ("method", "path", "family", "allow"),
    [
        ("GET", "/v1/chat/completions", Family.OPENAI, ("POST",)),
        ("PUT", "/v1/chat/completions", Family.OPENAI, ("POST",)),
        ("DELETE", "/v1/responses", Family.OPENAI, ("GET", "POST")),
        ("GET", "/v1/messages", Family.ANTHROPIC, ("POST",)),
        ("GET", "/v1beta/models/m:generateContent", Family.GOOGLE, ("POST",)),
        ("POST", "/v1/models", Family.OPENAI, ("GET",)),
        ("POST", "/v1beta/models", Family.GOOGLE, ("GET",)),
        ("DELETE", "/v1/models/m", Family.OPENAI, ("GET",)),
        ("PATCH", "/v1beta/models/m", Family.GOOGLE, ("GET",)),
        ("OPTIONS", "/v1/embeddings", Family.OPENAI, ("POST",)),
    ],
)
def test_a_wrong_method_says_the_right_ones(method, path, family, allow):
    fault = resolve(method, path)

    assert isinstance(fault, PathFault)
    assert (fault.status, fault.code, fault.family, fault.allow) == (405, "method_not_allowed", family, allow)


@pytest.mark.parametrize(
    ("path", "hint", "family"),
    [
        ("/", None, Family.OPENAI),
        ("", None, Family.OPENAI),
        ("/v1", None, Family.OPENAI),
        ("/v1/", Family.ANTHROPIC, Family.ANTHROPIC),
        ("/v1/nothing", None, Family.OPENAI),
        ("/v1/messages/else", None, Family.ANTHROPIC),
        ("/v1beta/nothing", None, Family.GOOGLE),
        ("/v1beta/chat/completions", None, Family.GOOGLE),
        ("/v1alpha/models/m:generateContent", None, Family.GOOGLE),
        ("/v1beta1/projects/p/locations/l/publishers/google/models/m:generateContent", None, Family.GOOGLE),
        ("/v1/projects/p/locations/l/publishers/anthropic/models/m:rawPredict", None, Family.GOOGLE),
        ("/v1beta/models/m:neverHeardOf", None, Family.GOOGLE),
        ("/v1beta/models/:generateContent", None, Family.GOOGLE),
        ("/v1/account", None, Family.OPENAI),  # the gateway's own path, not a provider's
        ("/v1/requests/abc", Family.ANTHROPIC, Family.ANTHROPIC),
        ("/oauth/token", None, Family.OPENAI),
        ("/device", None, Family.OPENAI),
        ("/v1.5/chat/completions", None, Family.OPENAI),
        ("/v1/../v1/chat/completions", None, Family.OPENAI),
        ("/openai/deployments/d/chat/completions", None, Family.OPENAI),
    ],
)
def test_an_unknown_path_has_a_family_all_the_same(path, hint, family):
    fault = resolve("POST", path, hint)

    assert isinstance(fault, PathFault)
    assert (fault.status, fault.code, fault.family) == (404, "not_found", family)


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/v1/x", Canonical("/v1/x", "", "/x")),
        ("//v1//v1/x%79/", Canonical("/v1/v1/xy", "", "/xy")),
        ("/v1/v1beta/v1/x", Canonical("/v1/v1beta/v1/x", "/v1beta", "/x")),
        ("/upload/v1beta/files", Canonical("/upload/v1beta/files", "/upload", "/files")),
        ("/v1.5/x", Canonical("/v1.5/x", "", "/v1.5/x")),
        ("/v1", Canonical("/v1", "", "")),
        ("/", Canonical("/", "", "/")),
        ("/v1/%ff", None),
    ],
)
def test_a_path_has_one_spelling(path, found):
    assert canonical(path) == found


def test_a_path_that_is_no_text_is_refused():
    fault = resolve("POST", "/v1/%ff")

    assert isinstance(fault, PathFault)
    assert (fault.status, fault.code) == (400, "invalid_request")


def test_no_message_quotes_the_path():
    for path in ("/v1/secret-words", "/v1/files/secret-words", "/v1beta/tunedModels/secret-words"):
        fault = resolve("POST", path)
        assert isinstance(fault, PathFault)
        assert "secret" not in fault.message


@pytest.mark.parametrize(
    ("names", "family"),
    [
        ({"anthropic-version"}, Family.ANTHROPIC),
        ({"x-goog-api-key"}, Family.GOOGLE),
        ({"x-goog-api-client"}, Family.GOOGLE),
        ({"authorization", "openai-beta"}, None),
    ],
)
def test_headers_tell_the_family(names, family):
    assert family_of_headers(dict.fromkeys(names, "")) is family
