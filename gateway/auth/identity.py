"""The one secret behind every digest: of users' ids, of session tokens, of pseudonyms.

Without the key, nothing in the store leads from a user to an account, and a stolen store holds no
token that works. The key is either configured or a file in the data directory, made once.
"""

from __future__ import annotations

import base64
import hmac
import os
import secrets
import time
from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from gateway.config import Config, ConfigError
from gateway.files import write_file
from metering.accounts.identity_map import IdentityKey
from metering.clock import DAY_SECONDS
from providers.masking.masking import NAME_LENGTH

KEY_FILE = "identity.key"
KEY_BYTES = 32
KEY_VERSION = 1
ROTATION_DAYS = 30


def load_key(config: Config) -> bytes:
    """The configured key, or the one in the data directory, which is made where there is none.

    Raises:
        ConfigError: The file cannot be used; the fault says the mend.
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
        fault = f"identity.key: {path} cannot be used ({error.strerror}); mend server.data_dir or its permissions"
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

    It goes to the provider and back, and nowhere else; it is of no use to another account, and without the key nobody
    can try out what it stands for.
    """
    text = f"masked\0{pid}\0{secret}".encode("utf-8", "surrogatepass")
    return base64.b32encode(hmac.digest(key, text, "sha256")[:10]).decode()[:NAME_LENGTH]


def pseudonym(key: bytes, pid: str, provider: str, now: float | None = None) -> str:
    """What stands for an account at one provider: of no use at another, and for `ROTATION_DAYS` alone.

    All accounts change at the same moment (midnight UTC), so that none is told by when it changes.
    ``now`` is Unix seconds, for tests.
    """
    period = int((time.time() if now is None else now) // (ROTATION_DAYS * DAY_SECONDS))
    return _pseudonym(key, pid, provider, period)


@lru_cache(maxsize=65_536)  # one keyed digest per account and provider, not per request
def _pseudonym(key: bytes, pid: str, provider: str, period: int) -> str:
    return digest(key, "pseudonym", f"{provider}\0{period}\0{pid}")[:32]
