"""Names of secrets for tests: what the gateway makes with its key."""

import base64
import hashlib

from providers.masking.masking import NAME_LENGTH, Vault


def name(secret, account="one"):
    digest = hashlib.sha256(f"{account} {secret}".encode("utf-8", "surrogatepass")).digest()
    return base64.b32encode(digest[:10]).decode()[:NAME_LENGTH]


def vault(account="one"):
    return Vault(lambda secret: name(secret, account))
