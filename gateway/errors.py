"""The one error tree of the gateway: the status and the stable code sit on the type.

Rules:

1. A message is a sentence of this code base that says how to fix it. It never quotes a request, an
   answer, a foreign exception or a client-chosen string. The numbers of an error are its members; `sentence` of
   `gateway.http.answers` adds them where the error becomes an answer.
2. Foreign errors (store, sockets, TLS, parsers) become one of these at one seam, `exchange`.
3. Raising one of these before `reserve` holds nothing and charges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class GatewayError(Exception):
    """An answer that the gateway gives in place of a provider's.

    Attributes:
        status: HTTP status.
        code: Stable machine code, from the table in the README.
        message: What is wrong and what to do about it.
        retry_after: Seconds after which the same request may succeed, or ``None``.
        param: The documented name of the request member at fault, or ``None``.
        headers: Further answer headers that belong to this error.
        should_retry: What ``x-should-retry`` says, or ``None`` where SDKs decide by the status.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    default_message: ClassVar[str] = "The gateway failed. Please retry; if it persists, tell support the x-request-id."
    should_retry: bool | None = None

    def __init__(
        self,
        message: str | None = None,
        *,
        retry_after: float | None = None,
        param: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(self.code)
        self.message = message or self.default_message
        self.retry_after = retry_after
        self.param = param
        self.headers = dict(headers) if headers else {}


class InvalidRequest(GatewayError):
    status = 400
    code = "invalid_request"
    default_message = "The request is not valid."


class UnsupportedFeature(InvalidRequest):
    code = "unsupported_feature"
    default_message = "This feature is not served by the gateway."


class PrivacyUnsupported(InvalidRequest):
    code = "privacy_unsupported"
    default_message = "This feature would make the provider keep content; the gateway refuses it."


class Superseded(InvalidRequest):
    code = "superseded"
    default_message = "A newer request with the same x-supersede-key replaced this one."
    should_retry = False


class Unauthorized(GatewayError):
    status = 401

    def __init__(self, message: str | None = None) -> None:
        super().__init__(
            message,
            headers={"WWW-Authenticate": f'Bearer error="invalid_token", error_description="{self.code}"'},
        )


class TokenInvalid(Unauthorized):
    code = "token_invalid"
    default_message = (
        "The session token is missing or not valid. Send it as 'Authorization: Bearer', 'x-api-key' or "
        "'x-goog-api-key'; sign in again to get one."
    )


class TokenExpired(Unauthorized):
    code = "token_expired"
    default_message = "The session token has expired. Refresh it once, else sign in again."


class TokenRevoked(Unauthorized):
    code = "token_revoked"
    default_message = "The session was revoked. Sign in again."


class CreditsExhausted(GatewayError):
    """The account cannot pay for the request; amounts are micro-credits.

    Attributes:
        needed: What the request needs at least.
        held: What running requests of the account may still cost.
        available: What is left beside that.
    """

    status = 402
    code = "credits_exhausted"
    default_message = "Not enough credits. Top up, lower the output limit, or send less context."

    def __init__(self, *, needed: int, held: int, available: int, retry_after: float | None = None) -> None:
        """``retry_after`` is given if the credits suffice once running requests have ended. Otherwise nothing is to
        be waited for: clients would wait for credits that nobody buys.
        """
        super().__init__(
            None if retry_after is None else "Not enough credits while other requests of this account are running.",
            retry_after=retry_after,
            headers={
                "x-credits-needed": str(needed),
                "x-credits-held": str(held),
                "x-credits-available": str(available),
            },
        )
        self.should_retry = retry_after is not None
        self.needed = needed
        self.held = held
        self.available = available


class Forbidden(GatewayError):
    status = 403


class LocalMode(Forbidden):
    code = "local_mode"
    default_message = (
        "This session is in local mode: prompts do not leave the machine. Use the local broker, or switch the session "
        "to cloud mode in the account settings."
    )


class ForeignOrigin(Forbidden):
    code = "foreign_origin"
    default_message = (
        "The local broker answers programs of this machine, not web pages: call it by its loopback address, from "
        "outside a browser."
    )


class ModelNotInPlan(Forbidden):
    code = "model_not_in_plan"
    default_message = "The plan of this account does not include this model. Choose another one or change the plan."


class RegionUnavailable(Forbidden):
    code = "region_unavailable"
    default_message = "No provider of this model runs in the region that this session is pinned to."


class AccountRestricted(Forbidden):
    code = "account_restricted"
    default_message = (
        "This account takes no new requests for now, as its owner or support asked. Ask support to lift it."
    )


class AppUpgradeRequired(Forbidden):
    code = "app_upgrade_required"
    default_message = "This version of the app is no longer supported. Update it."


class InsufficientScope(Forbidden):
    code = "insufficient_scope"

    def __init__(self, scope: str = "") -> None:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        super().__init__(
            f"This token has not the scope {scope}. Use one that was made with it.",
            headers={"WWW-Authenticate": challenge},
        )


class ModelNotFound(GatewayError):
    status = 404
    code = "model_not_found"
    default_message = "This model is not served here. GET /v1/models lists the ones that are."


class NotFound(GatewayError):
    status = 404
    code = "not_found"
    default_message = "There is nothing at this path."


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This path takes {allowed}.", headers={"Allow": allowed})


class RequestTimeout(GatewayError):
    status = 408
    code = "request_timeout"
    default_message = "The request body did not arrive in time. Send it again."


class Conflict(GatewayError):
    """``rev``: the rank that a record has now, if that is what the statement contradicts."""

    status = 409
    code = "conflict"
    default_message = "What is stated here contradicts what was stated before."

    def __init__(self, message: str | None = None, *, rev: int | None = None) -> None:
        super().__init__(message)
        self.rev = rev


class RequestTooLarge(GatewayError):
    status = 413
    code = "request_too_large"
    default_message = "The request body is larger than this gateway takes. Send less context or smaller attachments."


class UnsupportedEncoding(GatewayError):
    status = 415
    code = "unsupported_encoding"
    default_message = "This content encoding is not supported. Send the body without one, or in gzip, deflate or zstd."


class UpgradeRequired(GatewayError):
    status = 426
    code = "upgrade_required"
    default_message = "WebSockets are not served here: use HTTP streaming on the same path."
    should_retry = False


class RateLimited(GatewayError):
    status = 429
    code = "rate_limited"
    default_message = "Too many requests or tokens in this minute."


class ConcurrencyLimited(GatewayError):
    status = 429
    code = "concurrency_limited"
    default_message = "Too many requests of this account are running at once."


class HeadersTooLarge(GatewayError):
    status = 431
    code = "headers_too_large"
    default_message = "The request's headers are larger than this gateway takes."


class Unavailable(GatewayError):
    status = 503

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class MeteringUnavailable(Unavailable):
    code = "metering_unavailable"
    default_message = "Usage can't be metered right now, so no request is sent to a provider. Retry shortly."


class ProviderUnavailable(Unavailable):
    code = "provider_unavailable"
    default_message = "The provider can't be used right now. Nothing was charged. Retry shortly."


class Draining(Unavailable):
    code = "draining"
    default_message = "This server is shutting down. Retry: another one answers."


class Overloaded(Unavailable):
    code = "overloaded"
    default_message = "This server holds as many request bytes as it may. Retry: another one may answer."


class UpstreamError(GatewayError):
    status = 502
    code = "upstream_error"
    default_message = "The provider's answer ended in an error of the connection. Retry."

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"
    default_message = "The provider did not answer in time. Retry."
