"""Credentials that a cloud lends to the machine on which the gateway runs, if the configuration says so.

Amazon's instance metadata service (version 2 only) and its container credentials (ECS, EKS Pod Identity) are asked by
botocore (extra ``bedrock``), Google's metadata server by a request of this module: google-auth's own needs a further
HTTP client, and reads its address from the environment. `gateway.upstream.tokens` renews what is lent.

Sources: https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instance-metadata-security-credentials.html,
https://docs.aws.amazon.com/sdkref/latest/guide/feature-container-credentials.html,
https://docs.cloud.google.com/compute/docs/access/authenticate-workloads#applications
"""

from __future__ import annotations

from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from typing import Any, Final
from urllib.parse import urlsplit

import msgspec

from gateway.config import CredentialSource, MachineCredentials
from gateway.upstream.sigv4 import key_of
from gateway.upstream.tokens import AccessToken, TokenUnavailable

TIMEOUT_SECONDS: Final = 2.0  # of one request: the service is on this machine or next to it
UNSTATED_SECONDS: Final = 900.0  # for which credentials without a stated end are used; Amazon lends none for less
_ATTEMPTS: Final = 2
_LONGEST_ANSWER: Final = 1 << 20
_GOOGLES: Final = "/computeMetadata/v1/instance/service-accounts/default/token"


class _Lent(msgspec.Struct):
    access_token: str
    expires_in: float


def lend(machine: MachineCredentials) -> AccessToken:
    """What is lent now; blocks for the time of an exchange. Amazon's has the form of a configured key.

    Raises:
        TokenUnavailable: Nothing is.
    """
    if machine.google:
        return _googles(machine)
    return _amazons(machine)


def _googles(machine: MachineCredentials) -> AccessToken:
    parts = urlsplit(machine.url)
    connection = HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT_SECONDS)
    try:
        connection.request("GET", _GOOGLES, headers={"Metadata-Flavor": "Google"})
        answer = connection.getresponse()
        found = answer.read(_LONGEST_ANSWER)
        lent = msgspec.json.decode(found, type=_Lent)
        # Something else at the address may answer every path.
        if answer.status != 200 or answer.getheader("Metadata-Flavor") != "Google":
            raise TokenUnavailable
    except (OSError, HTTPException, msgspec.MsgspecError, ValueError):
        raise TokenUnavailable from None
    finally:
        connection.close()
    return AccessToken(lent.access_token, lent.expires_in)


def _amazons(machine: MachineCredentials) -> AccessToken:
    from botocore.exceptions import BotoCoreError  # noqa: PLC0415 - an extra, loaded where it is configured
    from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher  # noqa: PLC0415 - the same

    try:
        if machine.source is CredentialSource.INSTANCE:
            found: dict[str, Any] = InstanceMetadataFetcher(
                timeout=TIMEOUT_SECONDS,
                num_attempts=_ATTEMPTS,
                base_url=machine.url,
                env={},
                config={"ec2_metadata_v1_disabled": True},
            ).retrieve_iam_role_credentials()
            parts = (found["access_key"], found["secret_key"], found["token"])
            ends = found["expiry_time"]
        else:
            authorization = machine.token if machine.token_file is None else machine.token_file.read_text().strip()
            headers = {"Authorization": authorization} if authorization else {}
            found = ContainerMetadataFetcher().retrieve_full_uri(machine.url, headers)
            parts = (found["AccessKeyId"], found["SecretAccessKey"], found["Token"])
            ends = found.get("Expiration")
        seconds = UNSTATED_SECONDS
        if ends is not None:
            seconds = (datetime.fromisoformat(ends) - datetime.now(UTC)).total_seconds()
        return AccessToken(key_of(parts), seconds)
    except (BotoCoreError, OSError, KeyError, ValueError, TypeError, AttributeError):
        raise TokenUnavailable from None
