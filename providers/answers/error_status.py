"""What an error inside a 2xx answer means: its HTTP status, and how long to wait.

The codes are those of OpenAI and of hosts that use any of these formats. The status is read from the error's own
code, then from a number in it, then from its type.
https://developers.openai.com/api/docs/guides/error-codes and "ResponseError" of the API reference. Compatible hosts
add the names of their exceptions (vLLM), the reason phrases of HTTP, and codes of their own.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from providers.dialect import UNKNOWN_STATUS

_CODES: Final[Mapping[int, str]] = MappingProxyType(
    {
        400: "invalid_request_error invalid_request bad_request badrequesterror invalid_prompt invalid_value "
        "context_length_exceeded string_above_max_length missing_required_parameter unsupported_parameter "
        "unsupported_value unknown_parameter content_filter content_policy_violation content_policy bio_policy "
        "cyber_policy misalignment_policy_violation data_residency_mismatch tool_use_failed json_validate_failed "
        "invalid_image invalid_image_format invalid_base64_image invalid_image_url invalid_image_mode image_too_large "
        "image_too_small image_parse_error image_content_policy_violation image_file_too_large empty_image_file "
        "unsupported_image_media_type failed_to_download_image image_file_not_found invalid_function_parameters "
        "exceed_context_size_error contextwindowexceedederror validationerror",
        401: "authentication_error authenticationerror invalid_api_key invalid_authentication_error unauthorized "
        "account_deactivated invalid_organization",
        402: "billing_error payment_required insufficient_balance insufficient_credits insufficient_user_quota "
        "arrearage",
        403: "permission_error permission_denied permission_denied_error permissiondeniederror access_denied forbidden "
        "unsupported_country_region_territory",
        404: "not_found_error not_found notfounderror model_not_found deploymentnotfound",
        408: "request_timeout",
        409: "conflict conflict_error",
        413: "request_too_large request_entity_too_large",
        422: "unprocessable_entity unprocessable_entity_error",
        429: "rate_limit_error rate_limit_exceeded rate_limit_reached_error rate_limited ratelimiterror requests "
        "tokens too_many_requests throttled throttling insufficient_quota quota_exceeded exceeded_current_quota_error "
        "billing_hard_limit_reached billing_not_active engine_overloaded_error",
        500: "server_error api_error internal_error internal_server_error internalservererror internalerror",
        503: "server_is_overloaded server_overloaded overloaded overloaded_error engine_overloaded slow_down "
        "service_unavailable service_unavailable_error serviceunavailableerror unavailable",
        504: "timeout timeout_error gateway_timeout vector_store_timeout apitimeouterror",
    }
)
_STATUSES: Final = MappingProxyType({code: status for status, codes in _CODES.items() for code in codes.split()})

# OpenAI states the time to wait only in the message: "Please try again in 1.898s."
_AGAIN = re.compile(
    r"try again in (?:(\d{1,2})h)?(?:(\d{1,3})m(?!s))?(?:(\d{1,7}(?:\.\d{1,6})?)(ms|s))?", re.IGNORECASE
)
_STATUS: Final = re.compile(r"[45][0-9]{2}")
_WORDS: Final = 2_000  # characters of a message that are searched


def status_of(error: Mapping[str, Any]) -> int:
    """The HTTP status that an error stands for; 502 if it does not say."""
    code, kind = error.get("code"), error.get("type")
    if isinstance(code, str) and code.lower() in _STATUSES:
        return _STATUSES[code.lower()]
    for name in ("code", "status", "status_code", "http_status", "http_code"):
        number = as_status(error.get(name))
        if number is not None:
            return number
    if isinstance(kind, str):
        return _STATUSES.get(kind.lower()) or as_status(kind) or UNKNOWN_STATUS
    return UNKNOWN_STATUS


def as_status(value: object) -> int | None:
    """``value`` as an HTTP error status, or ``None``."""
    if isinstance(value, str) and _STATUS.fullmatch(value):
        value = int(value)
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return value if type(value) is int and 400 <= value <= 599 else None


def retry_after_of(error: Mapping[str, Any]) -> float | None:
    """Seconds to wait, from a member or from the text of the message."""
    stated = error.get("retry_after")
    if isinstance(stated, int | float) and stated is not True and 0 <= stated <= 86_400:
        return float(stated)
    message = error.get("message")
    found = _AGAIN.search(message[:_WORDS]) if isinstance(message, str) else None
    if found is None or not any(found.groups()):
        return None
    hours, minutes, number, unit = found.groups()
    seconds = float(number or 0) / (1000 if unit and unit.lower() == "ms" else 1)
    return int(hours or 0) * 3600.0 + int(minutes or 0) * 60.0 + seconds
