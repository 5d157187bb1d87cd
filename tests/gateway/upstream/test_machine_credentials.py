"""Credentials that a cloud lends to the machine: small metadata services on sockets, judged by the clouds' own clients."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import google.auth.transport.requests
import pytest
from botocore.utils import ContainerMetadataFetcher, InstanceMetadataFetcher
from google.auth.compute_engine import _metadata

from gateway.config import CredentialSource, MachineCredentials
from gateway.upstream.machine_credentials import UNSTATED_SECONDS, lend
from gateway.upstream.tokens import TokenUnavailable
from tests.raw_provider import RawProvider, Request, body

KEYS = {"AccessKeyId": "ASIAEXAMPLE", "SecretAccessKey": "s/e+c=", "Token": "session"}
ROLE = "/latest/meta-data/iam/security-credentials/"
GOOGLES = "/computeMetadata/v1/instance/service-accounts/default/token"


def ends(seconds: float = 3_600) -> str:
    return (datetime.now(UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def headers(seen: Request) -> dict[str, str]:
    lines = seen.head.decode().split("\r\n")[1:]
    return {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines) if name}


class Metadata(RawProvider):
    """All three services. ``changed``: what is answered instead, by path."""

    def __init__(self) -> None:
        super().__init__()
        self.changed: dict[str, bytes] = {}
        self.script = self._script

    def _script(self, request: Request, _sock: socket.socket) -> bytes:
        if request.path in self.changed:
            return self.changed[request.path]
        sent = headers(request)
        missing = body(b"", status="401 Unauthorized")
        match request.path:
            case "/latest/api/token":
                right = request.head.startswith(b"PUT ") and "x-aws-ec2-metadata-token-ttl-seconds" in sent
                return body(b"v2-token", kind="text/plain") if right else missing
            case path if path == ROLE:
                return (
                    body(b"a-role", kind="text/plain")
                    if sent.get("x-aws-ec2-metadata-token") == "v2-token"
                    else missing
                )
            case path if path == f"{ROLE}a-role":
                right = sent.get("x-aws-ec2-metadata-token") == "v2-token"
                return body({"Code": "Success", "Expiration": ends(), **KEYS}) if right else missing
            case "/v2/credentials/1":
                right = sent.get("authorization") == "container-token"
                return body({"Expiration": ends(), "RoleArn": "arn", **KEYS}) if right else missing
            case path if path == GOOGLES:
                if sent.get("metadata-flavor") != "Google":
                    return body(b"", status="403 Forbidden")
                return body(
                    {"access_token": "ya29.lent", "expires_in": 3_599, "token_type": "Bearer"}, Metadata_Flavor="Google"
                )
        return body(b"", status="404 Not Found")


@pytest.fixture
def metadata() -> Iterator[Metadata]:
    with Metadata() as metadata:
        yield metadata


def instance(metadata: Metadata, *, google: bool = False) -> MachineCredentials:
    return MachineCredentials(google, CredentialSource.INSTANCE, metadata.url)


def container(metadata: Metadata, token: str = "container-token", file: Path | None = None) -> MachineCredentials:
    return MachineCredentials(False, CredentialSource.CONTAINER, f"{metadata.url}/v2/credentials/1", token, file)


def test_the_role_of_an_instance_as_botocore_reads_it(metadata: Metadata) -> None:
    lent = lend(instance(metadata))
    judged = InstanceMetadataFetcher(base_url=metadata.url).retrieve_iam_role_credentials()
    assert lent.token == ":".join(judged[name] for name in ("access_key", "secret_key", "token"))
    assert lent.token == "ASIAEXAMPLE:s/e+c=:session"
    assert 3_500 < lent.seconds <= 3_600


def test_the_first_version_of_the_service_is_not_asked(metadata: Metadata) -> None:
    metadata.changed["/latest/api/token"] = body(b"", status="404 Not Found")
    metadata.changed[ROLE] = body(b"a-role", kind="text/plain")
    metadata.changed[f"{ROLE}a-role"] = body({"Expiration": ends(), **KEYS})
    with pytest.raises(TokenUnavailable):
        lend(instance(metadata))
    assert [seen.path for seen in metadata.seen] == ["/latest/api/token"]


def test_a_containers_as_botocore_reads_them(metadata: Metadata, tmp_path: Path) -> None:
    asked = container(metadata)
    lent = lend(asked)
    judged = ContainerMetadataFetcher().retrieve_full_uri(asked.url, {"Authorization": "container-token"})
    assert lent.token == ":".join(judged[name] for name in ("AccessKeyId", "SecretAccessKey", "Token"))
    assert 3_500 < lent.seconds <= 3_600
    file = tmp_path / "token"
    file.write_text("container-token\n")
    assert lend(container(metadata, "", file)).token == lent.token
    metadata.changed["/v2/credentials/1"] = body(KEYS)
    assert lend(asked).seconds == UNSTATED_SECONDS


def test_googles_as_its_own_client_reads_it(metadata: Metadata) -> None:
    lent = lend(instance(metadata, google=True))
    judged: Any = _metadata.get(
        google.auth.transport.requests.Request(),
        "instance/service-accounts/default/token",
        root=f"{metadata.url}/computeMetadata/v1/",
    )
    assert (lent.token, lent.seconds) == (judged["access_token"], judged["expires_in"])


WRONG = [
    body(b"", status="500 No"),
    body(b"<html>", kind="text/html"),
    body({"Code": "Failed", "Message": "no role"}),
    body({"Expiration": "soon", **KEYS}),
    body({"Expiration": "2026-01-01", **KEYS}),
    body({"Expiration": ends(), **KEYS, "Token": "a:b"}),
    body({"Expiration": ends(), **KEYS, "Token": 7}),
    body([1]),
]


@pytest.mark.parametrize("answer", WRONG)
def test_what_is_no_key(metadata: Metadata, answer: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    metadata.changed = {f"{ROLE}a-role": answer, "/v2/credentials/1": answer}
    for asked in (instance(metadata), container(metadata)):
        with pytest.raises(TokenUnavailable) as raised:
            lend(asked)
        assert raised.value.args == ()
        assert raised.value.__suppress_context__


@pytest.mark.parametrize(
    "answer",
    [
        body({"access_token": "t", "expires_in": 60}),  # not from Google's server
        body({"access_token": "t"}, Metadata_Flavor="Google"),
        body({"access_token": 7, "expires_in": 60}, Metadata_Flavor="Google"),
        body(b"", status="404 Not Found", Metadata_Flavor="Google"),
        body({}, status="302 Found", location="http://127.0.0.1:1/"),
        b"nothing of HTTP\r\n\r\n",
    ],
)
def test_what_is_no_token_of_googles(metadata: Metadata, answer: bytes) -> None:
    metadata.changed = {GOOGLES: answer}
    with pytest.raises(TokenUnavailable) as raised:
        lend(instance(metadata, google=True))
    assert raised.value.args == ()


def test_nobody_there(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(ContainerMetadataFetcher, "SLEEP_TIME", 0)
    nowhere = "http://127.0.0.1:1"
    for asked in (
        MachineCredentials(True, CredentialSource.INSTANCE, nowhere),
        MachineCredentials(False, CredentialSource.INSTANCE, nowhere),
        MachineCredentials(False, CredentialSource.CONTAINER, nowhere),
        MachineCredentials(False, CredentialSource.CONTAINER, nowhere, "", tmp_path / "missing"),
    ):
        with pytest.raises(TokenUnavailable):
            lend(asked)


def test_no_secret_is_shown() -> None:
    assert "very-secret" not in repr(MachineCredentials(False, CredentialSource.CONTAINER, "http://h", "very-secret"))
