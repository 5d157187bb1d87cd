"""Paths, members and errors of the clouds' APIs, and which region a location promises."""

from __future__ import annotations

import json

import pytest

from gateway.config import Region
from providers.account_faults import account_fault, lacks_model
from providers.dialect import Family, Operation
from providers.hosts import azure, bedrock, vertex
from providers.hosts.host import DIRECT, Direct
from providers.wires import WIRES

GENERATE, MESSAGES, COUNT = (
    WIRES[name] for name in (Operation.GEMINI_GENERATE, Operation.ANTHROPIC_MESSAGES, Operation.ANTHROPIC_COUNT_TOKENS)
)


@pytest.mark.parametrize(
    ("location", "region", "host"),
    [
        ("global", "global", "aiplatform.googleapis.com"),
        ("eu", "eu", "aiplatform.eu.rep.googleapis.com"),
        ("us", "us", "aiplatform.us.rep.googleapis.com"),
        ("us-east5", "us", "us-east5-aiplatform.googleapis.com"),
        ("europe-west1", "eu", "europe-west1-aiplatform.googleapis.com"),
        ("europe-west2", "uk", "europe-west2-aiplatform.googleapis.com"),
        ("europe-west6", "ch", "europe-west6-aiplatform.googleapis.com"),
        ("europe-west12", "eu", "europe-west12-aiplatform.googleapis.com"),
        ("asia-northeast3", "kr", "asia-northeast3-aiplatform.googleapis.com"),
        ("me-central1", "global", "me-central1-aiplatform.googleapis.com"),
    ],
)
def test_a_location_of_vertex(location, region, host):
    assert (vertex.region_of(location), vertex.base_url(location)) == (region, f"https://{host}")


@pytest.mark.parametrize(
    ("location", "model", "region"),
    [
        ("eu-central-1", "anthropic.claude-x-v1:0", "eu"),
        ("eu-west-2", "anthropic.claude-x-v1:0", "uk"),
        ("us-gov-west-1", "", "us"),
        ("me-south-1", "", "global"),
        ("eu-central-1", "eu.anthropic.claude-x-v1:0", "eu"),
        ("eu-central-1", "global.anthropic.claude-x-v1:0", "global"),
        ("ap-northeast-1", "apac.anthropic.claude-x-v1:0", "global"),
        ("ap-northeast-1", "jp.anthropic.claude-x-v1:0", "jp"),
        ("eu-west-1", "us.anthropic.claude-x-v1:0", "us"),
    ],
)
def test_a_location_and_a_profile_of_bedrock(location, model, region):
    assert bedrock.region_of(location, model) == region


def test_every_region_is_one_that_can_be_stated():
    for places in (vertex._REGIONS, bedrock._REGIONS):
        assert {region for _, region in places} <= set(Region)
        assert len({start for start, _ in places}) == len(places)
    assert set(bedrock._PROFILES.values()) <= set(Region)


def test_names_in_a_path_are_quoted():
    arn = "arn:aws:bedrock:us-east-1:1:application-inference-profile/a"
    shape = bedrock.Bedrock().shape(MESSAGES, arn, stream=False, query="beta=true", headers=[])
    assert shape.path == "/model/arn:aws:bedrock:us-east-1:1:application-inference-profile%2Fa/invoke"
    assert shape.query == ""
    google = vertex.Vertex(Family.GOOGLE, "p", "eu").shape(GENERATE, "a/b", stream=False, query="", headers=[])
    assert google.path == "/v1/projects/p/locations/eu/publishers/google/models/a%2Fb:generateContent"


def test_only_what_a_cloud_takes_is_sent():
    headers = [(b"accept", b"*/*"), (b"content-type", b"application/json"), (b"anthropic-version", b"2023-06-01"),
               (b"anthropic-beta", b"a-2025-01-01, b-2025-01-01")]  # fmt: skip
    shape = bedrock.Bedrock().shape(MESSAGES, "m", stream=True, query="", headers=headers)
    assert dict(shape.members)["anthropic_beta"] == b'["a-2025-01-01","b-2025-01-01"]'
    assert shape.headers == headers[:2]
    assert shape.without == ("model", "stream")
    claude = vertex.Vertex(Family.ANTHROPIC, "p", "eu")
    assert claude.shape(MESSAGES, "m@1", stream=True, query="beta=true", headers=headers)[1:4] == (
        "",
        [*headers[:2], headers[3]],
        ("model",),
    )
    assert claude.shape(COUNT, "m", stream=False, query="", headers=headers).without == ()
    assert headers[2] == (b"anthropic-version", b"2023-06-01")  # the next target's are not changed


@pytest.mark.parametrize(
    ("model", "stated", "version"),
    [
        ("anthropic.claude-opus-4-7", b"2026-10-21", "2026-10-21"),
        ("eu.anthropic.claude-fable-5", b"2026-10-21", "2026-10-21"),
        ("anthropic.claude-opus-4-20250514-v1:0", b"2026-10-21", "bedrock-2023-05-31"),
        ("anthropic.claude-sonnet-4-6", b"2026-10-21", "bedrock-2023-05-31"),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", b"2026-10-21", "bedrock-2023-05-31"),
        ("anthropic.claude-opus-4-7", b"2023-06-01", "bedrock-2023-05-31"),
        ("anthropic.claude-opus-4-7", None, "bedrock-2023-05-31"),
    ],
)
def test_the_version_is_what_the_caller_asks_for_if_the_model_knows_it(model, stated, version):
    headers = [] if stated is None else [(b"anthropic-version", stated)]
    shape = bedrock.Bedrock().shape(MESSAGES, model, stream=False, query="", headers=headers)
    assert json.loads(dict(shape.members)["anthropic_version"]) == version
    google = vertex.Vertex(Family.ANTHROPIC, "p", "eu").shape(COUNT, model, stream=False, query="", headers=headers)
    named = "vertex-2023-10-16" if stated in {None, b"2023-06-01"} else stated.decode()
    assert json.loads(dict(google.members)["anthropic_version"]) == named


@pytest.mark.parametrize("body", [b"", b"<html>", b"[]", b"7", b'{"message":7}'])
def test_an_error_without_a_message(body):
    found = bedrock.Bedrock().error(403, [(b"x-amzn-errortype", b"AccessDeniedException")], body)
    assert found.status == 403
    assert json.loads(found.body) == {"type": "error", "error": {"type": "permission_error", "message": ""}}
    assert vertex.Vertex(Family.ANTHROPIC, "p", "eu").error(404, [], body) is None


@pytest.mark.parametrize(
    ("message", "status"),
    [
        ("The provided model identifier is invalid.", 404),
        ("Invocation of model ID anthropic.claude-x with on-demand throughput isn\u2019t supported. Retry", 404),
        ("The model returned the following errors: The provided model identifier is invalid", 400),
        ("messages: at least one message is required", 400),
    ],
)
def test_a_model_that_bedrock_does_not_have_is_not_found(message, status):
    body = json.dumps({"message": message}).encode()
    found = bedrock.Bedrock().error(400, [(b"x-amzn-errortype", b"ValidationException")], body)
    assert found.status == status
    assert lacks_model(Family.ANTHROPIC, found.status, found.body) == (status == 404)
    assert account_fault(Family.ANTHROPIC, found.status, found.body) is None


def test_errors_that_have_the_dialects_form_are_left_as_they_are():
    own = b'{"type":"error","error":{"type":"invalid_request_error","message":"x"}}'
    assert vertex.Vertex(Family.ANTHROPIC, "p", "eu").error(400, [], own) is None
    googles = b'{"error":{"code":404,"message":"x","status":"NOT_FOUND"}}'
    assert vertex.Vertex(Family.GOOGLE, "p", "eu").error(404, [], googles) is None
    found = vertex.Vertex(Family.ANTHROPIC, "p", "eu").error(404, [], googles)
    assert json.loads(found.body)["error"]["type"] == "not_found_error"
    assert DIRECT.error(400, [], b"{}") is None


def test_hosts_compare_by_value():
    assert vertex.Vertex(Family.GOOGLE, "p", "eu") == vertex.Vertex(Family.GOOGLE, "p", "eu")
    assert bedrock.Bedrock() == bedrock.Bedrock()
    assert Direct() == DIRECT


def test_what_clouds_serve_are_operations_of_their_apis():
    assert {operation.family for operation in azure.OPERATIONS} == {Family.OPENAI}
    assert {operation.family for operation in vertex.OPERATIONS} == {Family.GOOGLE, Family.ANTHROPIC}
    assert {operation.family for operation in bedrock.OPERATIONS} == {Family.ANTHROPIC}
