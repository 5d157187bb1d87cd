"""The codes and sentences with which providers report a problem of the operator's key or account; see `account_faults`.

Sources: the error classes of the ``anthropic`` SDK (``types/shared``) and of the ``openai`` SDK
(``types/beta/session_turn_error.py``), https://developers.openai.com/api/docs/guides/error-codes,
https://platform.claude.com/docs/en/api/errors, https://ai.google.dev/gemini-api/docs/troubleshooting,
``google/api/error_reason.proto``, https://openrouter.ai/docs/api/reference/errors-and-debugging, and public reports
of received errors (from xAI, Groq, Moonshot, Z.ai, DashScope, Volcengine, Fireworks, DeepSeek).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from enum import StrEnum
from typing import Final

from providers.dialect import Family


class AccountFault(StrEnum):
    """What is wrong with the operator's access to a provider; closed, so it may be logged and labelled."""

    KEY = "key"  # not accepted: wrong, revoked, expired, or not allowed from this address
    KEY_LIMIT = "key_limit"  # this key, or its project, has reached its spending limit
    CREDIT = "credit"  # the account has no credit left, or reached its spending limit
    SUSPENDED = "suspended"  # the account is disabled
    ACCESS = "access"  # the account may not use this model, this API, or the API from here


_COMPATIBLE: Final[Mapping[str, AccountFault]] = {
    # compatible hosts speak OpenAI's dialect and Anthropic's, with codes of their own
    "insufficient_balance": AccountFault.CREDIT,
    "insufficient_credits": AccountFault.CREDIT,
    "insufficient_funds": AccountFault.CREDIT,
    "insufficient_user_quota": AccountFault.CREDIT,
    "insufficientbalance": AccountFault.CREDIT,
    "insufficientquota": AccountFault.CREDIT,  # Azure
    "credit_limit": AccountFault.CREDIT,  # Together
    "credit_limit_exceeded": AccountFault.CREDIT,
    "payment_required": AccountFault.CREDIT,
    "exceeded_current_quota_error": AccountFault.CREDIT,  # Moonshot
    "arrearage": AccountFault.CREDIT,  # DashScope
    "accountoverdueerror": AccountFault.CREDIT,  # Volcengine
    "invalidaccountstatus": AccountFault.SUSPENDED,
    "1110": AccountFault.SUSPENDED,  # Z.ai: the account is not active, does not exist, is locked
    "1111": AccountFault.SUSPENDED,
    "1112": AccountFault.SUSPENDED,
    "1113": AccountFault.CREDIT,
    "1308": AccountFault.CREDIT,  # Z.ai: the plan's quota is used up, the plan has ended
    "1309": AccountFault.CREDIT,
    "1310": AccountFault.CREDIT,
    "openrouter_credits": AccountFault.CREDIT,
    "openrouter_key_limit": AccountFault.KEY_LIMIT,
    "openrouter_guardrail_budget": AccountFault.KEY_LIMIT,
    "openrouter_workspace_budget": AccountFault.KEY_LIMIT,
    "organization_restricted": AccountFault.SUSPENDED,  # Groq
    "organization_disabled": AccountFault.SUSPENDED,
    "organization_suspended": AccountFault.SUSPENDED,
    "account_suspended": AccountFault.SUSPENDED,
    "account_disabled": AccountFault.SUSPENDED,
    "invalidapikey": AccountFault.KEY,
    "invalid_api_key_error": AccountFault.KEY,
    "incorrect_api_key_error": AccountFault.KEY,
    "invalid_authentication_error": AccountFault.KEY,
    "unsupported_country_region_territory": AccountFault.ACCESS,
    "accessdenied.unpurchased": AccountFault.ACCESS,
    "model.accessdenied": AccountFault.ACCESS,
}
_OPENAI: Final[Mapping[str, AccountFault]] = {
    "insufficient_quota": AccountFault.CREDIT,
    "billing_not_active": AccountFault.CREDIT,
    "billing_hard_limit_reached": AccountFault.CREDIT,
    "credit_balance_exhausted": AccountFault.CREDIT,
    "organization_spend_limit_exceeded": AccountFault.CREDIT,
    "organization_usage_limit_exceeded": AccountFault.CREDIT,
    "usage_limit_exceeded": AccountFault.CREDIT,
    "usage_limit_reached": AccountFault.CREDIT,
    "project_spend_limit_exceeded": AccountFault.KEY_LIMIT,
    "account_deactivated": AccountFault.SUSPENDED,
    "invalid_api_key": AccountFault.KEY,
    "ip_not_authorized": AccountFault.KEY,
    "invalid_organization": AccountFault.KEY,
    "mismatched_organization": AccountFault.KEY,
    "mismatched_project": AccountFault.KEY,
    "invalid_project": AccountFault.KEY,
    "project_archived": AccountFault.KEY,
}
_ANTHROPIC: Final[Mapping[str, AccountFault]] = {
    "billing_error": AccountFault.CREDIT,
    "enforced_spend_limit_reached": AccountFault.CREDIT,
    "contract_spend_limit_reached": AccountFault.CREDIT,
    "organization_on_hold": AccountFault.SUSPENDED,
    "authentication_error": AccountFault.KEY,
    "claude_code_key_creator_not_member": AccountFault.KEY,
    "cmek_key_disabled": AccountFault.ACCESS,
    "cmek_key_network_blocked": AccountFault.ACCESS,
    "organization_type_not_supported": AccountFault.ACCESS,
    "parent_organization_required": AccountFault.ACCESS,
}
# google.api.ErrorReason of the domain googleapis.com
_GOOGLE: Final[Mapping[str, AccountFault]] = {
    "api_key_invalid": AccountFault.KEY,
    "api_key_service_blocked": AccountFault.KEY,
    "api_key_http_referrer_blocked": AccountFault.KEY,
    "api_key_ip_address_blocked": AccountFault.KEY,
    "api_key_android_app_blocked": AccountFault.KEY,
    "api_key_ios_app_blocked": AccountFault.KEY,
    "access_token_expired": AccountFault.KEY,
    "access_token_scope_insufficient": AccountFault.KEY,
    "access_token_type_unsupported": AccountFault.KEY,
    "credentials_missing": AccountFault.KEY,
    "overloaded_credentials": AccountFault.KEY,
    "missing_origin": AccountFault.KEY,
    "billing_disabled": AccountFault.CREDIT,
    "consumer_suspended": AccountFault.SUSPENDED,
    "consumer_invalid": AccountFault.SUSPENDED,
    "account_state_invalid": AccountFault.SUSPENDED,
    "user_blocked_by_admin": AccountFault.SUSPENDED,
    "gcp_suspended": AccountFault.SUSPENDED,
    "service_disabled": AccountFault.ACCESS,
    "service_not_visible": AccountFault.ACCESS,
    "user_project_denied": AccountFault.ACCESS,
    "resource_project_invalid": AccountFault.ACCESS,
    "iam_permission_denied": AccountFault.ACCESS,
    "security_policy_violated": AccountFault.ACCESS,
    "org_restriction_violation": AccountFault.ACCESS,
    "org_restriction_header_invalid": AccountFault.ACCESS,
    "location_policy_violated": AccountFault.ACCESS,
    "location_tax_policy_violated": AccountFault.ACCESS,
    "resource_usage_restriction_violated": AccountFault.ACCESS,
}
# Any host may answer in OpenAI's or Anthropic's dialect: Gemini speaks the former itself, Vertex serves the latter.
CODES: Final[Mapping[Family, Mapping[str, AccountFault]]] = {
    Family.OPENAI: {**_COMPATIBLE, **_ANTHROPIC, **_GOOGLE, **_OPENAI},
    Family.ANTHROPIC: {**_COMPATIBLE, **_GOOGLE, **_OPENAI, **_ANTHROPIC},
    Family.GOOGLE: _GOOGLE,
}

# Values of `param` in errors that are not about a member: an unverified organisation gets an error about `stream`.
NO_MEMBER: Final = frozenset(("", "stream", "model"))

_WORDS: Final[Mapping[AccountFault, tuple[str, ...]]] = {
    AccountFault.CREDIT: (
        r"your credit balance is too low",
        r"your (?:account |api )?credits? (?:balance )?(?:is|are|has been|have been) (?:depleted|exhausted|used up)",
        r"your prepa(?:yment|id) credits are depleted",
        (
            r"you(?:['\u2019]ve| have) (?:reached|hit|exceeded|used up) your (?:\w{1,20} ){0,3}"
            r"(?:(?:usage|spend|spending|budget|credit) (?:limits?|quota)|budget|credits)"
        ),
        r"your (?:project|account|organization) has exceeded its (?:monthly )?spending (?:cap|limit)",
        r"(?:your )?account is not active",
        r"billing hard limit has been reached",
        r"billing (?:is |has been )?(?:not (?:enabled|active)|disabled|inactive)",
        r"(?:your )?(?:payment|invoice)s? (?:is |are |has been |have been )?(?:required|overdue|past due|failed)",
        r"insufficient (?:account )?(?:balance|credits?|funds)",
        r"余额不足",
        r"access denied, please make sure your account is in good standing",
        r"access denied due to overdue account",
        r"your team \S{1,80} has either used all available credits or reached its monthly spending limit",
        r"you have run out of credits",
        # A key that is a subscription's token (https://support.claude.com, "Extra usage for paid Claude plans").
        r"you['\u2019]re out of extra usage",
        r"third-party apps now draw from your extra usage",
        r"(?:your )?account (?:\S{1,80} ){0,2}is suspended due to insufficient balance",
        r"account \S{1,80} is suspended, possibly due to reaching the monthly spending limit",
        r"this api method requires billing to be enabled",
    ),
    AccountFault.KEY_LIMIT: (
        r"(?:api )?key limit exceeded",
        r"this (?:api )?key has (?:reached|exceeded) its",
    ),
    AccountFault.SUSPENDED: (
        (
            r"(?:this|your|the) organi[sz]ation (?:has been|is|was) (?:currently )?"
            r"(?:disabled|suspended|restricted|deactivated|on hold)"
        ),
        r"organization has been (?:disabled|restricted|suspended)",
        (
            r"(?:this|your|the) (?:\w{1,20} )?(?:account|project|workspace) (?:associated with this api key )?"
            r"(?:has been|is) (?:archived|disabled|suspended|restricted|deactivated|locked|banned|terminated|"
            r"blocked|closed|inactive|overdue|past due|in arrears|on hold|denied access)"
        ),
        r"this key is associated with a deactivated account",
        r"your access (?:was|has been) (?:terminated|revoked|suspended)",
        r"(?:gemini|this service) has been disabled in this account",
        r"permission denied: consumer \S{1,120} has been suspended",
    ),
    AccountFault.KEY: (
        r"incorrect api key provided",
        r"invalid (?:x-)?api[ -]key",
        r"api key (?:is )?(?:not valid|invalid|expired)",
        (
            r"(?:your|this|the) api key (?:was|has been|is) "
            r"(?:reported as leaked|revoked|disabled|deleted|expired|invalid|not valid)"
        ),
    ),
    AccountFault.ACCESS: (
        r"user location is not supported",
        r"country, region, or territory not supported",
        r"(?:the )?gemini api free tier is not available in your (?:country|region)",
        r"your organization must be verified to",
        r"(?:your|this) organi[sz]ation (?:does not have access|is not allowed|has not been granted)",
        r"requests (?:to|from) .{1,200} are blocked",
        r"project \S{1,80} does not have access to model",
        r"access denied due to virtual network/firewall rules",
    ),
}
_END: Final = r"(?=$|[\s.,;:!(<\u3002\uff0c\u6216])"  # Chinese text may follow without a space
SENTENCES: Final = tuple((fault, re.compile(f"(?i)(?:{'|'.join(words)}){_END}")) for fault, words in _WORDS.items())
SIZED: Final = re.compile(
    r"(?i)requires more credits, or fewer max_tokens|can only afford \d|^request too large|"
    r"token capacity required|^prompt tokens limit exceeded"
)

CONTENT_CODE: Final = re.compile(
    r"content|moderation|safety|sensitive|guardrail|(?:cyber|bio|responsible_?ai|misalignment)_?policy|"
    r"data_?inspection|prohibited|recitation|invalid_prompt|^refusal$|^1301$"
)
CONTENT: Final = re.compile(
    r"(?i)safety_check|safety (?:system|check|filter|guideline|polic)|usage (?:polic|guideline)|acceptable use|"
    r"content (?:polic|filter|safety|moderation|management)|\bmoderation\b|prompt injection|jailbreak|copyright|"
    r"\b(?:content|prompts?|inputs?|outputs?|images?|texts?|messages?|queries|query|request)\b.{0,80}?\b(?:violat\w+|"
    r"flagged|moderated|unsafe|harmful|inappropriate|prohibited|sensitive|disallowed|refused|rejected|blocked|"
    r"filtered|polic(?:y|ies)|guidelines?)\b|"
    r"\b(?:violat\w+|flagged|unsafe|harmful|inappropriate|prohibited|sensitive|disallowed)\b.{0,40}?\b(?:content|"
    r"prompts?|inputs?|outputs?|images?|text|messages?)\b|"
    r"\bcontent\b.{0,80}?\bnot (?:available|allowed|permitted|supported)\b"
)

# That a host does not have a model, or does not show it to this key. Only with 404: these codes are also those of other
# things that do not exist.
NOT_FOUND: Final[Mapping[Family, frozenset[str]]] = {
    Family.OPENAI: frozenset(
        # vLLM and SGLang; Ollama; Moonshot; Fireworks; OpenRouter and vLLM repeat the status as the code
        ("notfounderror", "not_found_error", "resource_not_found_error", "not_found", "404")
    ),
    Family.ANTHROPIC: frozenset(("not_found_error",)),
    Family.GOOGLE: frozenset(("not_found",)),
}
# With any 4xx, which differs by host.
NO_MODEL: Final = frozenset(
    (
        "model_not_found",  # OpenAI, Groq, DashScope
        "deploymentnotfound",  # Azure
        "invalid_model",  # Mistral, with 400
        "model_not_available",  # Together
        "model_decommissioned",  # Groq, with 400
        "modelnotopen",  # Volcengine
        "invalidendpointormodel.notfound",
        "1211",  # Z.ai
    )
)
