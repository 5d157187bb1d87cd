"""Whose fault a provider's error is: tables of errors as providers send them, and that a request's text decides nothing."""

from __future__ import annotations

import json
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from providers.account_codes import AccountFault
from providers.account_faults import (
    LONGEST_BODY,
    Certainty,
    Finding,
    account_fault,
    depends_on_size,
    judged,
    lacks_model,
)
from providers.dialect import Family

OPENAI, ANTHROPIC, GOOGLE = Family.OPENAI, Family.ANTHROPIC, Family.GOOGLE
KEY, KEY_LIMIT, CREDIT = AccountFault.KEY, AccountFault.KEY_LIMIT, AccountFault.CREDIT
SUSPENDED, ACCESS = AccountFault.SUSPENDED, AccountFault.ACCESS
STATED, WORDED, ASSUMED = Certainty.STATED, Certainty.WORDED, Certainty.ASSUMED


def openai(message, code=None, type_="invalid_request_error", param=None):
    return {"error": {"message": message, "type": type_, "param": param, "code": code}}


def anthropic(message, type_="invalid_request_error", **more):
    return {"type": "error", "error": {"type": type_, "message": message, **more}, "request_id": "req_x"}


def google(code, message, status, *details):
    return {"error": {"code": code, "message": message, "status": status, "details": list(details)}}


def reason(name):
    return {"@type": "type.googleapis.com/google.rpc.ErrorInfo", "reason": name, "domain": "googleapis.com"}


LOW = "Your credit balance is too low to access the Anthropic API. Please go to Plans & Billing to upgrade."

OPERATORS = [
    # OpenAI
    (OPENAI, 401, openai("Incorrect API key provided: sk-a***b.", "invalid_api_key"), KEY, STATED),
    (OPENAI, 401, openai("The OpenAI account of this key is deactivated.", "account_deactivated"), SUSPENDED, STATED),
    (
        OPENAI,
        429,
        openai("You exceeded your current quota", "insufficient_quota", "insufficient_quota"),
        CREDIT,
        STATED,
    ),
    (OPENAI, 429, openai("Project limit", "project_spend_limit_exceeded", "insufficient_quota"), KEY_LIMIT, STATED),
    (OPENAI, 429, openai("No credits", "credit_balance_exhausted", "insufficient_quota"), CREDIT, STATED),
    (OPENAI, 429, openai("Your account is not active", "billing_not_active", "billing_not_active"), CREDIT, STATED),
    (OPENAI, 429, openai("Your account is not active, please check your billing details."), CREDIT, WORDED),
    (OPENAI, 400, openai("Billing hard limit has been reached", "billing_hard_limit_reached"), CREDIT, STATED),
    (OPENAI, 403, openai("Country not supported", "unsupported_country_region_territory"), ACCESS, STATED),
    (OPENAI, 403, openai("Project `proj_a` does not have access to model `gpt-x`", "model_not_found"), ACCESS, WORDED),
    (
        OPENAI,
        400,
        openai(
            "Your organization must be verified to stream this model. Please go to x",
            "unsupported_value",
            "t",
            "stream",
        ),
        ACCESS,
        WORDED,
    ),
    (OPENAI, 403, {"code": "unsupported_country_region_territory", "message": "Country not supported"}, ACCESS, STATED),
    (ANTHROPIC, 400, anthropic("This workspace has been archived."), SUSPENDED, WORDED),
    (ANTHROPIC, 400, anthropic("You're out of extra usage. Add more at x and keep going."), CREDIT, WORDED),
    (ANTHROPIC, 400, anthropic("Third-party apps now draw from your extra usage, not your plan"), CREDIT, WORDED),
    # compatible hosts
    (
        OPENAI,
        429,
        openai(
            "Your account org-1 <ak-1> is suspended due to insufficient balance", None, "exceeded_current_quota_error"
        ),
        CREDIT,
        STATED,
    ),
    (
        OPENAI,
        429,
        openai("Your account org-ea6a <ak-f8> is suspended due to insufficient balance, please recharge", None, "x"),
        CREDIT,
        WORDED,
    ),
    (OPENAI, 402, openai("Insufficient Balance", "invalid_request_error", "unknown_error"), CREDIT, STATED),
    (OPENAI, 429, {"error": {"code": "1113", "message": "余额不足或无可用资源包,请充值。"}}, CREDIT, STATED),
    (OPENAI, 429, {"error": {"code": "9", "message": "余额不足或无可用资源包,请充值。"}}, CREDIT, WORDED),
    (
        OPENAI,
        400,
        openai("Access denied, please make sure your account is in good standing.", "Arrearage"),
        CREDIT,
        STATED,
    ),
    (OPENAI, 403, openai("The account has an overdue balance", "AccountOverdueError"), CREDIT, STATED),
    (
        OPENAI,
        400,
        openai("Organization has been restricted. Please reach out.", "organization_restricted"),
        SUSPENDED,
        STATED,
    ),
    (
        OPENAI,
        412,
        openai("Account x is suspended, possibly due to reaching the monthly spending limit or", "PRECONDITION_FAILED"),
        CREDIT,
        WORDED,
    ),
    (
        OPENAI,
        400,
        {"code": "invalid-argument", "error": "Incorrect API key provided. You can obtain one."},
        KEY,
        WORDED,
    ),
    (
        OPENAI,
        403,
        {
            "code": "permission-denied",
            "error": "Your team 16f2-40 has either used all available credits or reached its"
            " monthly spending limit. To continue",
        },
        CREDIT,
        WORDED,
    ),
    (
        OPENAI,
        403,
        {
            "code": "permission-denied",
            "error": "Access to the chat endpoint is denied. Please use correct credentials.",
        },
        ACCESS,
        ASSUMED,
    ),
    (OPENAI, 403, {"error": {"code": 403, "message": "Key limit exceeded (total limit)"}}, KEY_LIMIT, WORDED),
    (
        OPENAI,
        403,
        {"error": {"code": 403, "message": "x", "metadata": {"limit_source": "openrouter_key_limit"}}},
        KEY_LIMIT,
        STATED,
    ),
    (OPENAI, 402, {"error": {"code": 402, "message": "Insufficient credits. Add more"}}, CREDIT, STATED),
    (
        OPENAI,
        402,
        {
            "error": {
                "code": 402,
                "message": "This request requires more credits, or fewer max_tokens. You requested up"
                " to 32000 tokens, but can only afford 7.",
                "metadata": {"limit_source": "openrouter_credits"},
            }
        },
        CREDIT,
        ASSUMED,
    ),
    (OPENAI, 401, {"error": {"code": "401", "message": "Access denied due to invalid subscription key"}}, KEY, STATED),
    (
        OPENAI,
        403,
        {"error": {"code": "403", "message": "Access denied due to Virtual Network/Firewall rules."}},
        ACCESS,
        WORDED,
    ),
    (OPENAI, 401, {"detail": "Invalid API Key"}, KEY, STATED),
    (OPENAI, 400, [google(400, "API key not valid.", "INVALID_ARGUMENT", reason("API_KEY_INVALID"))], KEY, STATED),
    (OPENAI, 400, {"error": {"error": openai("x", "insufficient_quota")["error"]}}, CREDIT, STATED),
    (OPENAI, 429, {"type": "response.failed", "response": openai("x", "insufficient_quota")}, CREDIT, STATED),
    # Anthropic
    (ANTHROPIC, 400, anthropic(LOW), CREDIT, WORDED),
    (ANTHROPIC, 402, anthropic("Billing error", "billing_error"), CREDIT, STATED),
    (
        ANTHROPIC,
        400,
        anthropic("You have reached your specified API usage limits. You will regain access"),
        CREDIT,
        WORDED,
    ),
    (ANTHROPIC, 400, anthropic("You have reached your specified workspace API usage limits."), CREDIT, WORDED),
    (ANTHROPIC, 400, anthropic("This organization has been disabled."), SUSPENDED, WORDED),
    (ANTHROPIC, 400, anthropic("x", details={"error_code": "organization_on_hold"}), SUSPENDED, STATED),
    (
        ANTHROPIC,
        429,
        anthropic("x", "rate_limit_error", details={"error_code": "enforced_spend_limit_reached"}),
        CREDIT,
        STATED,
    ),
    (ANTHROPIC, 401, anthropic("invalid x-api-key", "authentication_error"), KEY, STATED),
    (
        ANTHROPIC,
        403,
        anthropic("Your organization does not have access to Claude.", "permission_error"),
        ACCESS,
        WORDED,
    ),
    (
        ANTHROPIC,
        403,
        anthropic("Your API key does not have permission to use it.", "permission_error"),
        ACCESS,
        ASSUMED,
    ),
    (ANTHROPIC, 403, {"error": {"type": "forbidden", "message": "Request not allowed"}}, ACCESS, ASSUMED),
    (ANTHROPIC, 429, anthropic("[1113][Insufficient balance]", "rate_limit_error", code="1113"), CREDIT, STATED),
    # Google
    (
        GOOGLE,
        400,
        google(400, "User location is not supported for the API use.", "FAILED_PRECONDITION"),
        ACCESS,
        WORDED,
    ),
    (
        GOOGLE,
        400,
        google(
            400,
            "$grpcMessage",
            "FAILED_PRECONDITION",
            {
                "detail": "[ORIGINAL ERROR] generic::failed_precondition: User location is not supported for the API use."
            },
        ),
        ACCESS,
        WORDED,
    ),
    (GOOGLE, 400, google(400, "API key expired. Please renew the API key.", "INVALID_ARGUMENT"), KEY, WORDED),
    (GOOGLE, 400, google(400, "x", "INVALID_ARGUMENT", reason("API_KEY_INVALID")), KEY, STATED),
    (GOOGLE, 403, google(403, "x", "PERMISSION_DENIED", reason("CONSUMER_SUSPENDED")), SUSPENDED, STATED),
    (GOOGLE, 403, google(403, "x", "PERMISSION_DENIED", reason("BILLING_DISABLED")), CREDIT, STATED),
    (GOOGLE, 403, google(403, "x", "PERMISSION_DENIED", reason("SERVICE_DISABLED")), ACCESS, STATED),
    (GOOGLE, 403, google(403, "Requests to this API x method y are blocked.", "PERMISSION_DENIED"), ACCESS, WORDED),
    (
        GOOGLE,
        403,
        google(403, "Your API key was reported as leaked. Please use another", "PERMISSION_DENIED"),
        KEY,
        WORDED,
    ),
    (
        GOOGLE,
        429,
        google(429, "Your prepayment credits are depleted. Please go to", "RESOURCE_EXHAUSTED"),
        CREDIT,
        WORDED,
    ),
    (ANTHROPIC, 403, google(403, "x", "PERMISSION_DENIED", reason("IAM_PERMISSION_DENIED")), ACCESS, STATED),
    # further ways to say it
    (OPENAI, 429, openai("You've hit your monthly spend limit"), CREDIT, WORDED),
    (OPENAI, 400, openai("You have exceeded your monthly included credits for Inference Providers."), CREDIT, WORDED),
    (OPENAI, 400, openai("Your account is past due."), SUSPENDED, WORDED),
    (OPENAI, 400, openai("Your OpenAI account has been deactivated, please check"), SUSPENDED, WORDED),
    (OPENAI, 400, openai("Your access was terminated due to violation of our policies"), SUSPENDED, WORDED),
    (OPENAI, 400, openai("Billing is not enabled for this project"), CREDIT, WORDED),
    (OPENAI, 429, {"error": {"code": "InsufficientQuota", "message": "x"}}, CREDIT, STATED),
    (
        OPENAI,
        402,
        {"error": {"code": 402, "message": "Prompt tokens limit exceeded: 230799 > 91442."}},
        CREDIT,
        ASSUMED,
    ),
    # without a body that says anything
    (OPENAI, 401, None, KEY, STATED),
    (ANTHROPIC, 402, None, CREDIT, STATED),
    (GOOGLE, 403, None, ACCESS, ASSUMED),
]

CALLERS = [
    (
        OPENAI,
        429,
        openai("Rate limit reached for gpt-x in organization org-1 on tokens per min", "rate_limit_exceeded"),
    ),
    (OPENAI, 400, openai("Your input exceeds the context window of this model.", "context_length_exceeded")),
    (OPENAI, 404, openai("The model `x` does not exist or you do not have access to it.", "model_not_found")),
    (OPENAI, 413, openai("Request too large for model x in organization org_1", "rate_limit_exceeded", "tokens")),
    (OPENAI, 500, openai("x", "insufficient_quota")),
    (OPENAI, 400, openai("An assistant message must be followed by (insufficient tool messages following)")),
    (
        ANTHROPIC,
        429,
        anthropic("This request would exceed your organization's rate limit of 30,000", "rate_limit_error"),
    ),
    (ANTHROPIC, 404, anthropic("model: claude-x", "not_found_error")),
    (OPENAI, 429, openai("You have exceeded your rate limit of 10 requests a minute")),
    (OPENAI, 400, openai("You have reached your maximum number of tools")),
    (ANTHROPIC, 529, anthropic("Overloaded", "overloaded_error")),
    (GOOGLE, 429, google(429, "You exceeded your current quota, please check your plan", "RESOURCE_EXHAUSTED")),
    (GOOGLE, 400, google(400, "Request contains an invalid argument.", "INVALID_ARGUMENT")),
    (GOOGLE, 400, None),
]

# A 403 that is about what was asked: it stays the caller's.
CONTENT = [
    (
        OPENAI,
        {
            "code": "The caller does not have permission to execute the specified operation",
            "error": "Content violates usage guidelines. Failed check: SAFETY_CHECK_TYPE_BIO",
        },
    ),
    (OPENAI, {"code": "permission-denied", "error": "Content violates usage guidelines. "}),
    (
        OPENAI,
        {
            "error": {
                "code": 403,
                "message": 'x requires moderation. Your input was flagged for "violence". No credits were charged.',
                "metadata": {"reasons": ["violence"], "flagged_input": "...", "model_slug": "x"},
            }
        },
    ),
    (OPENAI, {"error": {"code": 403, "message": "Denied", "metadata": {"error_type": "content_policy_violation"}}}),
    (OPENAI, {"error": {"code": 403, "message": "Request blocked: prompt injection patterns detected"}}),
    (OPENAI, openai("Your request was rejected as a result of our safety system.", "moderation_blocked")),
    (OPENAI, openai("Denied", "cyber_policy")),
    (OPENAI, openai("The prompt was refused because of our content policy")),
    (OPENAI, openai("This content is not available in your region")),
    (ANTHROPIC, anthropic("Output blocked by content filtering policy", "permission_error")),
    (ANTHROPIC, anthropic("Request blocked: prompt injection patterns detected", "permission_error")),
    (GOOGLE, google(403, "The input was blocked because of its safety rating", "PERMISSION_DENIED")),
]


def encoded(body):
    return b"" if body is None else json.dumps(body).encode()


@pytest.mark.parametrize(("family", "status", "body", "fault", "certainty"), OPERATORS)
def test_what_is_the_operators(family, status, body, fault, certainty):
    assert account_fault(family, status, encoded(body)) == Finding(fault, certainty)


@pytest.mark.parametrize(("family", "status", "body"), CALLERS)
def test_what_is_the_callers(family, status, body):
    assert account_fault(family, status, encoded(body)) is None


@pytest.mark.parametrize(("family", "body"), CONTENT)
def test_a_403_about_the_content_is_the_callers(family, body):
    assert account_fault(family, 403, encoded(body)) is None


@pytest.mark.parametrize(
    "body", [b"<html>Forbidden", b"{", b"[" * 50_000, b"[]", b"null", b'"x"', b'{"error":"x"}', b"\xff"]
)
@pytest.mark.parametrize("family", Family)
def test_what_is_no_error_body_is_judged_by_its_status(family, body):
    assert account_fault(family, 401, body) == Finding(KEY, STATED)
    assert account_fault(family, 403, body) == Finding(ACCESS, ASSUMED)
    assert account_fault(family, 400, body) is None


def test_an_error_sent_as_an_event_is_read():
    event = b"event: error\ndata: " + encoded(anthropic(LOW)) + b"\n\n"
    assert account_fault(ANTHROPIC, 400, event) == Finding(CREDIT, WORDED)


def test_a_large_body_is_not_read():
    body = encoded(anthropic(LOW, padding="x" * LONGEST_BODY))
    assert account_fault(ANTHROPIC, 400, body) is None


# -- what a caller writes decides nothing ------------------------------------------------------

SENTENCES = [
    LOW,
    "This organization has been disabled.",
    "Incorrect API key provided",
    "insufficient_quota",
    "Your account is not active",
    '"code": "insufficient_quota"',
    "billing_error",
    "You have reached your specified API usage limits.",
]
# How providers quote what they were sent.
QUOTING = [
    "Invalid value: '{}'. Supported values are: 'a'.",
    "messages.0.content: {}",
    "tools.0.custom.name: String should match pattern; got {}",
    "'{}' is not of type 'string' - 'messages.0'",
    "Unsupported parameter: {}",
    "[{{'type': 'enum', 'msg': '{}'}}]",
    "`{}`: Input should be 'a'",
    "The model `{}` does not exist or you do not have access to it.",
    "Could not parse JSON: {}",
]


@pytest.mark.parametrize("family", Family)
@pytest.mark.parametrize("status", [400, 413, 422, 429])
def test_a_quoted_sentence_is_no_account_fault(family, status):
    for quoting, sentence in product(QUOTING, SENTENCES):
        message = quoting.format(sentence)
        for body in (
            openai(message, "invalid_value"),
            anthropic(message),
            google(status, message, "INVALID_ARGUMENT"),
            {"detail": [{"msg": message, "input": sentence}]},
            {"error": message},
            {"message": message, "input": {"error": {"code": "insufficient_quota", "message": sentence}}},
        ):
            assert account_fault(family, status, encoded(body)) is None


@pytest.mark.parametrize("sentence", SENTENCES)
def test_an_error_that_names_a_member_is_about_the_request(sentence):
    assert (
        account_fault(OPENAI, 400, encoded(openai(sentence, None, "invalid_request_error", "messages[0].content")))
        is None
    )


@given(
    st.sampled_from(Family), st.text(max_size=30), st.sampled_from("'\"`:[(="), st.sampled_from(SENTENCES), st.text()
)
def test_a_sentence_behind_anything_is_none(family, before, mark, sentence, after):
    message = before + mark + sentence + after
    assert account_fault(family, 400, encoded(openai(message))) is None


@given(
    st.sampled_from(Family),
    st.integers(0, 999),
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=20),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["error", "code", "message", "details", "metadata", "response", "type", "param"]), inner
            )
        ),
        max_leaves=12,
    ),
)
def test_any_json_is_judged_without_failing(family, status, body):
    finding = account_fault(family, status, encoded(body))
    if not 400 <= status < 500:
        assert finding is None
    if status in {401, 402}:
        assert finding is not None


def test_what_only_a_smaller_request_changes_is_known():
    assert depends_on_size(encoded(openai("Request too large for gpt-x in organization org-1 on tokens per min (TPM)")))
    assert depends_on_size(encoded({"error": {"message": "This request requires more credits, or fewer max_tokens."}}))
    assert not depends_on_size(encoded(openai("Rate limit reached for gpt-x on tokens per min (TPM)")))
    assert not depends_on_size(b"")


@pytest.mark.parametrize("tail", ["", " is not of type 'object'", ": invalid", ". Please go to Plans & Billing."])
def test_a_sentence_that_the_request_has_too_may_be_quoted(tail):
    sentence = "Your credit balance is too low"
    body = encoded(openai(sentence + tail))
    assert judged(OPENAI, 400, body, b'{"messages": "something else"}') == Finding(CREDIT, WORDED)
    assert judged(OPENAI, 400, body, encoded({"messages": f"it says: {sentence}!"})) == Finding(
        CREDIT, Certainty.QUOTED
    )
    stated = encoded(openai(sentence, "insufficient_quota"))
    assert judged(OPENAI, 429, stated, encoded({"messages": sentence})) == Finding(CREDIT, STATED)
    assert judged(OPENAI, 400, encoded(openai("x")), encoded({"messages": sentence})) is None


LACKING = [
    (OPENAI, 404, openai("The model `x` does not exist or you do not have access to it.", "model_not_found")),
    (OPENAI, 404, openai("The model `x` does not exist", "model_not_found", param="model")),
    (
        OPENAI,
        404,
        {"object": "error", "message": "The model `x` does not exist.", "type": "NotFoundError", "code": 404},
    ),
    (OPENAI, 404, {"error": {"message": "No endpoints found for x.", "code": 404}}),
    (OPENAI, 404, {"error": {"code": "DeploymentNotFound", "message": "The API deployment does not exist."}}),
    (OPENAI, 400, {"object": "error", "message": "Invalid model: x", "type": "invalid_model", "code": "1500"}),
    (OPENAI, 400, openai("The model `x` has been decommissioned", "model_decommissioned")),
    (ANTHROPIC, 404, anthropic("model: claude-x", "not_found_error")),
    (GOOGLE, 404, google(404, "models/x is not found for API version v1beta", "NOT_FOUND")),
]


@pytest.mark.parametrize(("family", "status", "error"), LACKING)
def test_a_model_that_a_host_does_not_have(family, status, error):
    body = json.dumps(error).encode()
    assert lacks_model(family, status, body)
    assert account_fault(family, status, body) is None
    assert not lacks_model(family, 500, body)


@pytest.mark.parametrize(
    ("family", "status", "error"),
    [
        (OPENAI, 404, openai("No such file", "not_found", param="input[0].file_id")),  # what the request names
        (OPENAI, 400, openai("Unknown parameter", "unknown_parameter")),
        (ANTHROPIC, 400, anthropic("model: not allowed here")),
        (ANTHROPIC, 413, anthropic("too large", "request_too_large")),
        (GOOGLE, 400, google(400, "models/x is not found", "INVALID_ARGUMENT")),  # words decide nothing
        (GOOGLE, 404, {}),  # a page of some proxy
    ],
)
def test_what_says_nothing_of_the_model(family, status, error):
    assert not lacks_model(family, status, json.dumps(error).encode())
