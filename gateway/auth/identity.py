"""The secret that keys every digest: of users' ids, of session tokens, of pseudonyms.

Without the key, nobody can find a user's account in the store, and a stolen store contains no usable token. The key is
either configured, or a file in the data directory that is created once.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from gateway.config import Config, ConfigError
from gateway.files import write_file
from metering.accounts.identity_map import IdentityKey
from metering.clock import DAY_MS, now_ms
from providers.masking.masking import NAME_LENGTH

KEY_FILE = "identity.key"
KEY_BYTES = 32
KEY_VERSION = 1
ROTATION_DAYS = 30
LONGEST_DAYS = 90  # that one sign-in has the same pseudonym; tokens that are refreshed last no longer
PSEUDONYM_LENGTH = 32  # hex digits, 128 bits

_LONGEST_MS = LONGEST_DAYS * DAY_MS


def load_key(config: Config) -> bytes:
    """The configured key, or the one in the data directory, which is created if it is missing.

    Raises:
        ConfigError: The file cannot be used; the message says how to fix it.
    """
    if config.identity.key is not None:
        return config.identity.key
    path = config.server.data_dir / KEY_FILE
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileNotFoundError):
            return _read(path)
        write_file(path, secrets.token_bytes(KEY_BYTES), replace=False)  # of several makers the first wins
        return _read(path)
    except OSError as error:
        fault = f"identity.key: {path} cannot be used ({error.strerror}); fix server.data_dir or its permissions"
        raise ConfigError((fault,)) from None


def _read(path: Path) -> bytes:
    with path.open("rb") as file:
        mode = os.fstat(file.fileno()).st_mode
        key = file.read(KEY_BYTES + 1)
    if mode & 0o077:
        raise ConfigError((f"identity.key: others may read {path}; run chmod 600 on it",))
    if len(key) != KEY_BYTES:
        raise ConfigError((f"identity.key: {path} is not {KEY_BYTES} bytes; restore it from a backup",))
    return key


def identity_keys(key: bytes) -> tuple[IdentityKey, ...]:
    """The key as the identity map takes it: current first."""
    return (IdentityKey(KEY_VERSION, key),)


def digest(key: bytes, purpose: str, text: str) -> str:
    """HMAC-SHA-256 in hex; ``purpose`` keeps digests of one kind from standing in for another."""
    return hmac.digest(key, f"{purpose}\0{text}".encode(), "sha256").hex()


def name_of_secret(key: bytes, pid: str, secret: str) -> str:
    """What a secret's placeholder is called: 65 bits in base32, the same for this account as long as the key lives.

    It is sent to the provider and back, and nowhere else. Other accounts have other ones, and without the key nobody
    can guess its secret.
    """
    text = f"masked\0{pid}\0{secret}".encode("utf-8", "surrogatepass")
    return base64.b32encode(hmac.digest(key, text, "sha256")[:10]).decode()[:NAME_LENGTH]


def period(begun_ms: int, at_ms: int | None = None) -> int:
    """The period whose pseudonym a sign-in has: the one in which it began, so that no conversation loses the
    reasoning that a provider has bound to the pseudonym.

    A sign-in that lasts longer than `LONGEST_DAYS` counts as begun again at each multiple of them. ``begun_ms`` and
    ``at_ms`` (now, if not given) are Unix milliseconds. Periods begin at midnight UTC, for all accounts at once.
    """
    age = max(0, (now_ms() if at_ms is None else at_ms) - begun_ms)  # clocks of two machines may differ
    begun_again = begun_ms + age // _LONGEST_MS * _LONGEST_MS
    return begun_again // (ROTATION_DAYS * DAY_MS)


@lru_cache(maxsize=65_536)  # one keyed digest per account and provider, not per request
def pseudonym(key: bytes, pid: str, provider: str, of_period: int) -> str:
    """The pseudonym of an account at one provider, for the sign-ins of one `period`."""
    return digest(key, "pseudonym", f"{provider}\0{of_period}\0{pid}")[:PSEUDONYM_LENGTH]


def cache_key(key: bytes, pid: str, provider: str, of_period: int, text: str) -> str:
    """Replaces a client's key for the prompt cache: one for each account, provider, `period` and ``text``.

    ``text`` is the client's: it is hashed here and kept nowhere, so this function has no cache. OpenAI takes at most
    64 characters.
    """
    return digest(key, "prompt-cache", f"{provider}\0{of_period}\0{pid}\0{text}")[:PSEUDONYM_LENGTH]
