"""The one error tree of the gateway: the status and the stable code sit on the type.

Rules:

1. A message is a fixed sentence of this code base that says how to fix the problem. It never quotes a request, an
   answer, a foreign exception or a client-chosen string. The numbers and closed names of an error are its attributes;
   `sentence` of `gateway.http.answers` adds them to the message of the answer.
2. Foreign errors (store, sockets, TLS, parsers) become one of these in one place, `exchange`.
3. An error that is raised before `reserve` holds nothing and charges nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar


class GatewayError(Exception):
    """An answer that the gateway gives instead of a provider's.

    Attributes:
        status: HTTP status.
        code: Stable machine code, from the table in the README.
        message: What is wrong and what to do about it.
        retry_after: Seconds after which the same request may succeed, or ``None``.
        param: The documented name of the request member at fault, or ``None``.
        headers: Further answer headers that belong to this error.
        should_retry: What ``x-should-retry`` says, or ``None`` if SDKs decide by the status.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    default_message: ClassVar[str] = "The gateway failed. Retry; if it fails again, send the x-request-id to support."
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
    default_message = "The gateway does not serve this feature."


class IncapableModel(UnsupportedFeature):
    """The model is stated to lack what the request needs. ``model``: its configured or published name, or empty."""

    default_message = "This model is stated to lack what the request needs: choose another model."

    def __init__(self, message: str | None = None, *, model: str = "", param: str | None = None) -> None:
        super().__init__(message, param=param)
        self.model = model


class PrivacyUnsupported(InvalidRequest):
    code = "privacy_unsupported"
    default_message = "This feature would make the provider keep content, so the gateway refuses it."


class ThreadUnsupported(PrivacyUnsupported):
    """The provider's own code. On it, the provider's SDKs resend all messages."""

    code = "thread_unsupported_request"
    default_message = "The gateway does not serve threads, since the provider would keep them: resend the messages."


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
    should_retry = False  # else SDKs and agents repeat a 401 for minutes
    default_message = (
        "The session token is missing or not valid. Send it as 'Authorization: Bearer', 'x-api-key' or "
        "'x-goog-api-key'; sign in again to get one."
    )


class TokenExpired(Unauthorized):
    """``should_retry`` stays ``None``: token helpers refresh the token when the client repeats the request."""

    code = "token_expired"
    default_message = "The session token has expired. Refresh it once; if that fails, sign in again."


class TokenRevoked(Unauthorized):
    code = "token_revoked"
    should_retry = False
    default_message = "The session was revoked. Sign in again."


class CreditsExhausted(GatewayError):
    """The account cannot pay for the request; amounts are micro-credits.

    Attributes:
        needed: The least that the request needs.
        held: The most that running requests of the account may cost.
        available: The credits that are not held.
    """

    status = 402
    code = "credits_exhausted"
    default_message = "Not enough credits. Top up, lower the output limit, or send less context."

    def __init__(self, *, needed: int, held: int, available: int, retry_after: float | None = None) -> None:
        """``retry_after`` is given if the credits will suffice when running requests have ended. Otherwise it is
        ``None``: clients would wait for credits that nobody buys.
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
        "This session is in local mode, so its prompts are sent to no provider. Use the local broker, or switch the "
        "session to cloud mode in the account settings."
    )


class ForeignOrigin(Forbidden):
    code = "foreign_origin"
    default_message = (
        "The local broker answers programs on this machine, not web pages: call its loopback address, not from a "
        "browser."
    )


class ModelNotInPlan(Forbidden):
    code = "model_not_in_plan"
    default_message = "The plan of this account does not include this model. Choose another model, or change the plan."


class RegionUnavailable(Forbidden):
    code = "region_unavailable"
    default_message = "No provider of this model runs in the region that this session is pinned to."


class RetentionUnavailable(Forbidden):
    """Amounts are days.

    Attributes:
        limit: The longest time for which prompts may be kept.
        least: The shortest time for which a provider of the model keeps them.
    """

    code = "retention_unavailable"
    default_message = (
        "Every provider of this model keeps prompts for longer than this session or request allows. Choose another "
        "model, or raise the limit (max_retention_days, x-max-retention-days)."
    )

    def __init__(self, *, limit: int, least: int, param: str | None = None) -> None:
        super().__init__(param=param)
        self.limit = limit
        self.least = least


class AccountRestricted(Forbidden):
    code = "account_restricted"
    default_message = (
        "New requests of this account are refused, because its owner or support restricted it. Ask support to lift the "
        "restriction."
    )


class AppUpgradeRequired(Forbidden):
    code = "app_upgrade_required"
    default_message = "This version of the app is no longer supported. Update it."


class InsufficientScope(Forbidden):
    code = "insufficient_scope"

    def __init__(self, scope: str = "") -> None:
        challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
        super().__init__(
            f"This token lacks the scope {scope}. Use a token that has it.",
            headers={"WWW-Authenticate": challenge},
        )


class ModelNotFound(GatewayError):
    status = 404
    code = "model_not_found"
    default_message = "The gateway does not serve this model. GET /v1/models lists the models that it serves."


class NotFound(GatewayError):
    status = 404
    code = "not_found"
    default_message = "This path does not exist."


class MethodNotAllowed(GatewayError):
    status = 405
    code = "method_not_allowed"

    def __init__(self, allowed: str) -> None:
        super().__init__(f"This path accepts only {allowed}.", headers={"Allow": allowed})


class RequestTimeout(GatewayError):
    status = 408
    code = "request_timeout"
    default_message = "The request body did not arrive in time. Send it again."


class Conflict(GatewayError):
    """``rev``: the current rank of the record, if the request named another one."""

    status = 409
    code = "conflict"
    default_message = "This contradicts what was stated before."

    def __init__(self, message: str | None = None, *, rev: int | None = None) -> None:
        super().__init__(message)
        self.rev = rev


class NotReloaded(Conflict):
    """``faults``: what is wrong with the configuration file, a line each, in the words of its readers."""

    default_message = "The configuration file has faults, and nothing of it was taken."

    def __init__(self, faults: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.faults = faults


class RequestTooLarge(GatewayError):
    status = 413
    code = "request_too_large"
    default_message = "The request body is too large for this gateway. Send less context or smaller attachments."


class UnsupportedEncoding(GatewayError):
    status = 415
    code = "unsupported_encoding"
    default_message = "This content encoding is not supported. Send the body uncompressed, or in gzip, deflate or zstd."


class UpgradeRequired(GatewayError):
    status = 426
    code = "upgrade_required"
    default_message = "The gateway does not serve WebSockets: use HTTP streaming on the same path."
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
    default_message = "The request's headers are too large for this gateway."


class Unavailable(GatewayError):
    status = 503

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class MeteringUnavailable(Unavailable):
    code = "metering_unavailable"
    default_message = "The gateway cannot meter usage right now, so it sends no request to a provider. Retry shortly."


class ProviderUnavailable(Unavailable):
    code = "provider_unavailable"
    default_message = "The provider is not available right now. Nothing was charged. Retry shortly."


class Draining(Unavailable):
    code = "draining"
    default_message = "This server is shutting down. Retry: another server will answer."


class Overloaded(Unavailable):
    code = "overloaded"
    default_message = "This server has no memory left for request bodies. Retry: another server may answer."


class UpstreamError(GatewayError):
    status = 502
    code = "upstream_error"
    default_message = "The connection to the provider failed before its answer was complete. Retry."

    def __init__(self, message: str | None = None, *, retry_after: float = 1.0) -> None:
        super().__init__(message, retry_after=retry_after)


class UpstreamTimeout(UpstreamError):
    status = 504
    code = "upstream_timeout"
    default_message = "The provider did not answer in time. Retry."
