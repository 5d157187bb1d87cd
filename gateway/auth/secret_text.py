"""Creates the secrets of this gateway: 256 bits each, in base 62.

A secret is random, or derived from another one with the identity key. The successor of a refresh token is derived, so
that the gateway can return it a second time without storing it.
"""

from __future__ import annotations

import hmac
import secrets
import string

ALPHABET = string.digits + string.ascii_uppercase + string.ascii_lowercase
SECRET_LENGTH = 43  # base 62, 256 bits


def drawn(length: int = SECRET_LENGTH, alphabet: str = ALPHABET) -> str:
    """A random text, of base 62 unless another alphabet is given."""
    return "".join(secrets.choice(alphabet) for _ in range(length))


def derived(key: bytes, purpose: str, text: str, length: int = SECRET_LENGTH) -> str:
    """HMAC-SHA-256 of ``text`` with ``key``, in base 62."""
    number = int.from_bytes(hmac.digest(key, f"{purpose}\0{text}".encode("utf-8", "surrogateescape"), "sha256"))
    figures = []
    for _ in range(length):
        number, rest = divmod(number, len(ALPHABET))
        figures.append(ALPHABET[rest])
    return "".join(reversed(figures))
