"""Draws and derives the secrets of this gateway: all in base 62, all of 256 bits.

A secret is drawn at random, or derived from another one with the identity key: the successor of a
refresh token is, so that it need not be kept to be given out a second time.
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
    """What ``text`` leads to for whoever has ``key``, and for nobody else: HMAC-SHA-256 in base 62."""
    number = int.from_bytes(hmac.digest(key, f"{purpose}\0{text}".encode("utf-8", "surrogateescape"), "sha256"))
    figures = []
    for _ in range(length):
        number, rest = divmod(number, len(ALPHABET))
        figures.append(ALPHABET[rest])
    return "".join(reversed(figures))
