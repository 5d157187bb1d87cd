"""Ed25519 (RFC 8032) over documents, so that a reader can show to others what a gateway stated.

Rules:

1. The key is derived from the identity key, so gateways that share one have the same signing key, and nothing more must
   be stored. Every signature includes the public key, which a reader compares with an earlier one.
2. The signature is over a document's canonical form: JSON with sorted keys and no spaces, with only strings, integers,
   booleans, lists and objects, after a fixed line that no other protocol uses.
3. ``cryptography`` is imported with the first signature, since most workers never sign.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING, Any, TypeAlias

import orjson

from gateway.auth.identity import digest

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

Document: TypeAlias = dict[str, Any]

ALGORITHM = "Ed25519"
_CONTEXT = b"codegrex-evidence-v1\n"


class SignatureFault(Exception):
    """What was read is not a signed document, or its signature does not hold. The text says which."""


def canonical(document: Document) -> bytes:
    """The one form of a document."""
    return orjson.dumps(document, option=orjson.OPT_SORT_KEYS)


class Signer:
    """Signs with the key that belongs to an identity key."""

    def __init__(self, identity_key: bytes) -> None:
        self._seed = bytes.fromhex(digest(identity_key, "evidence", "ed25519"))
        self._key: Ed25519PrivateKey | None = None
        self._public = b""

    def _sign(self, document: Document) -> tuple[bytes, bytes, bytes]:
        if self._key is None:
            from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - rule 3

            self._key = ed25519.Ed25519PrivateKey.from_private_bytes(self._seed)
            self._public = self._key.public_key().public_bytes_raw()
        form = canonical(document)
        return form, self._key.sign(_CONTEXT + form), self._public

    def envelope(self, document: Document) -> Document:
        """The document and its signature, for a body."""
        _, signature, public = self._sign(document)
        return {
            "document": document,
            "signature": {"algorithm": ALGORITHM, "public_key": _text(public), "value": _text(signature)},
        }

    def compact(self, document: Document) -> str:
        """The same in one line for a header: document, signature and public key in base64url, with dots between."""
        return ".".join(map(_text, self._sign(document)))


def opened(text: bytes) -> tuple[Document, str]:
    """The document and the public key of a signed document in either form.

    Raises:
        SignatureFault: It is none, or its signature does not hold.
    """
    form, signature, public = _parts(text.strip())
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - rule 3
    from cryptography.hazmat.primitives.asymmetric import ed25519  # noqa: PLC0415 - rule 3

    try:
        ed25519.Ed25519PublicKey.from_public_bytes(public).verify(signature, _CONTEXT + form)
    except (InvalidSignature, ValueError):
        raise SignatureFault("the signature does not hold: it was altered, or made with another key") from None
    document: Document = orjson.loads(form)
    return document, _text(public)


def _parts(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Canonical form, signature and public key."""
    try:
        if not text.startswith(b"{"):
            line = text.rpartition(b"\n")[2].rpartition(b" ")[2]  # "x-receipt: ..." is as good
            form, signature, public = map(_bytes, line.split(b"."))
            return form, signature, public
        envelope = orjson.loads(text)
        signed = envelope["signature"]
        if signed["algorithm"] != ALGORITHM:
            raise SignatureFault("the algorithm is not Ed25519")
        return (
            canonical(envelope["document"]),
            _bytes(signed["value"].encode()),
            _bytes(signed["public_key"].encode()),
        )
    except (ValueError, KeyError, TypeError, AttributeError, binascii.Error):
        raise SignatureFault("this is not a signed document") from None


def _text(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _bytes(text: bytes) -> bytes:
    return base64.b64decode(text + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
