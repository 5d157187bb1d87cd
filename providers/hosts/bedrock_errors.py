"""Amazon Bedrock's errors by name, and the status that each means in the Messages API.

https://docs.aws.amazon.com/bedrock/latest/userguide/troubleshooting-api-error-codes.html and
https://docs.aws.amazon.com/bedrock/latest/APIReference/CommonErrors.html. The same exceptions come as a status with the
header ``x-amzn-errortype`` and as messages of an event stream.
"""

from __future__ import annotations

from typing import Final

# In lower case, without "exception" at the end. What is about the credentials is a 401 there, with whatever status.
_STATUSES: Final = {
    "accessdenied": 403,
    "expiredtoken": 401,
    "incompletesignature": 401,
    "internalfailure": 500,
    "internalserver": 500,
    "invalidclienttokenid": 401,
    "invalidsignature": 401,
    "missingauthenticationtoken": 401,
    "modelerror": 500,  # 424 there
    "modelnotready": 529,
    "modelstreamerror": 500,
    "modeltimeout": 504,
    "notauthorized": 401,
    "optinrequired": 401,
    "requestexpired": 401,
    "resourcenotfound": 404,
    "servicequotaexceeded": 429,  # 400 there
    "serviceunavailable": 529,
    "signaturedoesnotmatch": 401,
    "throttling": 429,
    "unrecognizedclient": 401,
    "validation": 400,
}


def status_of(name: str, unknown: int) -> int:
    """The status of an error by its name (``ThrottlingException``, or followed by a colon and an address)."""
    plain = name.partition(":")[0].strip().lower().removesuffix("exception")
    return _STATUSES.get(plain, unknown)
