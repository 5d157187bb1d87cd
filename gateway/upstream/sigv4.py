"""Signs requests to Amazon's services: Signature Version 4, by botocore's signer (extra ``bedrock``).

https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv.html. The signature covers path and query, the
content type and the bytes of the body, and it is good for minutes: it is made for each attempt, and no other request
can be sent with it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any

from providers.hosts.host import Headers, Shape
from providers.steps import Steps

_AT_ONCE = 1 << 20  # bytes that are hashed in one step
_CONTENT_TYPE = b"content-type"
_DIGEST = "X-Amz-Content-SHA256"


def secrets_of(key: str) -> tuple[str, ...]:
    """The parts of a key that signs: access key id, secret and perhaps a session token. An API key has none."""
    return tuple(key.split(":")) if ":" in key else ()


def key_of(secrets: Sequence[str]) -> str:
    """A key of these parts.

    Raises:
        ValueError: They can't be told apart in it.
    """
    if any(":" in part for part in secrets):
        raise ValueError
    return ":".join(secrets)


class SigV4:
    """Signs for one provider. ``keys`` are its configured ones; those that do not sign are never asked for."""

    __slots__ = ("_address", "_made", "_request", "_signers")

    def __init__(self, keys: Sequence[str], service: str, region: str, address: str) -> None:
        # Loaded only where it is configured: it is an extra, and takes a tenth of a second.
        from botocore.auth import SigV4Auth  # noqa: PLC0415
        from botocore.awsrequest import AWSRequest  # noqa: PLC0415
        from botocore.credentials import Credentials  # noqa: PLC0415

        self._address = address
        self._request = AWSRequest

        def signer(key: str) -> Any:
            secrets = secrets_of(key)
            return SigV4Auth(Credentials(*secrets), service, region) if secrets else None

        self._made: Callable[[str], Any] = signer
        self._signers = [signer(key) for key in keys]

    def replace(self, position: int, key: str) -> None:
        """From now on the key at this position is another one."""
        self._signers[position] = self._made(key)

    def sign(self, key: int, shape: Shape, *body: bytes | memoryview) -> Steps[Headers]:
        """The headers that a POST of ``body``, in parts, needs in addition."""
        digest = hashlib.sha256()
        for part in body:
            for start in range(0, len(part), _AT_ONCE):
                digest.update(memoryview(part)[start : start + _AT_ONCE])
                yield
        headers = {name.decode(): value.decode() for name, value in shape.headers if name == _CONTENT_TYPE}
        request = self._request(
            "POST", self._address + shape.path + shape.query, headers=headers | {_DIGEST: digest.hexdigest()}
        )
        signer = self._signers[key]
        assert signer is not None
        signer.add_auth(request)
        return [
            (name.lower().encode(), value.encode()) for name, value in request.headers.items() if name not in headers
        ]
