"""What a table of ``[providers.NAME]`` says of a cloud: which one, where in it, and with whose credentials."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from gateway.addresses import is_loopback
from gateway.config.reader import EXTRA, Section, check_url, is_installed
from providers.dialect import Family
from providers.hosts import bedrock, mantle, vertex

_LOCATION = re.compile(r"[a-z][a-z0-9-]{1,40}")
_PROJECT = re.compile(r"[a-z0-9][a-z0-9.:-]{1,62}")


class Cloud(StrEnum):
    """A cloud that serves the API of another maker, with its own paths and authentication."""

    AZURE = "azure"
    VERTEX = "vertex"
    BEDROCK = "bedrock"
    MANTLE = "bedrock-mantle"


AMAZON = frozenset((Cloud.BEDROCK, Cloud.MANTLE))
_BASE_URLS = {Cloud.VERTEX: vertex.base_url, Cloud.BEDROCK: bedrock.base_url, Cloud.MANTLE: mantle.base_url}
_METADATA = {"amazon": "http://169.254.169.254", "google": "http://metadata.google.internal"}
_CONTAINER = "169.254.170.2"
_LINK_LOCAL = frozenset(
    ("169.254.169.254", "fd00:ec2::254", "metadata.google.internal", _CONTAINER, "169.254.170.23", "fd00:ec2::23")
)
_IS_AT = {Cloud.VERTEX: vertex.is_at, Cloud.BEDROCK: bedrock.is_at, Cloud.MANTLE: mantle.is_at}


@dataclass(frozen=True, slots=True)
class ServiceAccount:
    """A service account of Google Cloud, whose key a token is asked for with.

    Attributes:
        info: Its key file, as ``google-auth`` takes it.
        token_uri: Where tokens are issued.
    """

    info: Mapping[str, str] = field(repr=False)
    token_uri: str


class CredentialSource(StrEnum):
    """Where a cloud lends credentials to the machine on which the gateway runs."""

    ENVIRONMENT = "environment"
    CONTAINER = "container"
    INSTANCE = "instance"


@dataclass(frozen=True, slots=True)
class MachineCredentials:
    """Credentials that a cloud lends to this machine: nothing of them is in the configuration.

    Attributes:
        google: They are Google's; otherwise Amazon's.
        source: Who lends them.
        url: Where they are asked for.
        token: What a container is told to ask with; empty if nothing.
        token_file: Where that is, if it changes.
    """

    google: bool
    source: CredentialSource
    url: str
    token: str = field(default="", repr=False)
    token_file: Path | None = None


def read_kind(section: Section) -> tuple[Family, Cloud | None]:
    """The API and, if the setting names one, the cloud that serves it."""
    if section.raw("kind") not in tuple(Cloud):
        return section.choice("kind", Family.OPENAI), None
    cloud = Cloud(section.raw("kind"))
    if cloud is not Cloud.VERTEX:
        return (Family.OPENAI if cloud is Cloud.AZURE else Family.ANTHROPIC), cloud
    section.require("api", "write which API it serves: google (Gemini) or anthropic (Claude)")
    family = section.choice("api", Family.GOOGLE)
    if family is Family.OPENAI:
        section.fault("api", "is not served there", "write google (Gemini) or anthropic (Claude)")
        family = Family.GOOGLE
    return family, cloud


def read_location(section: Section, cloud: Cloud | None) -> str:
    if cloud not in _BASE_URLS:
        return ""
    example = "eu-central-1" if cloud in AMAZON else "europe-west1, eu, us or global"
    if not section.require("location", f"write the cloud's own name of the place, such as {example}"):
        return ""
    location = section.string("location")
    if location and not _LOCATION.fullmatch(location):
        section.fault("location", "is not the name of a place", f"write one such as {example}")
        return ""
    return location


def usual_url(cloud: Cloud, location: str) -> str:
    """Where a location is served."""
    return _BASE_URLS[cloud](location)


def read_project(section: Section) -> str:
    """The project of Vertex AI."""
    if not section.require("project", "write the id of the Google Cloud project"):
        return ""
    project = section.string("project")
    if project and not _PROJECT.fullmatch(project):
        section.fault("project", "is not the id of a project", "write its id, not its title")
    return project


def read_machine(section: Section, cloud: Cloud, *, need_keys: bool) -> MachineCredentials | None:
    """What ``credentials`` says of this machine, if it names a source that lends them."""
    named = section.raw("credentials")
    if named not in tuple(CredentialSource) or (cloud not in AMAZON and named != CredentialSource.INSTANCE):
        return None
    source, google = CredentialSource(named), cloud is Cloud.VERTEX
    if source is CredentialSource.ENVIRONMENT:
        return None  # keys like those of `api_keys`
    if source is CredentialSource.CONTAINER:
        return _container(section) if need_keys else None
    usual = _METADATA["google" if google else "amazon"]
    url = section.string("credentials_url", usual).rstrip("/")
    if url != usual and not _is_metadata(url):
        section.fault("credentials_url", "is no address of a metadata service", f"remove it, or write {usual}")
    return MachineCredentials(google, source, url)


def _container(section: Section) -> MachineCredentials | None:
    relative, url = (section.variable(f"AWS_CONTAINER_CREDENTIALS_{which}_URI") for which in ("RELATIVE", "FULL"))
    if relative:
        url = f"http://{_CONTAINER}{relative}"
    if not url or not _is_metadata(url):
        section.fault(
            "credentials",
            "is container, but the variables AWS_CONTAINER_CREDENTIALS_* name no address that lends them",
            "run the gateway in a task or pod with a role, or choose another source",
        )
        return None
    file = section.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE")
    token = section.variable("AWS_CONTAINER_AUTHORIZATION_TOKEN")
    return MachineCredentials(False, CredentialSource.CONTAINER, url, token, Path(file) if file else None)


def _is_metadata(url: str) -> bool:
    """Whether credentials may be asked for there: in clear, only on this machine or at a cloud's own link-local
    addresses.
    """
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        plain = parts.scheme == "http" and (host in _LINK_LOCAL or is_loopback(host))
        return (plain or (parts.scheme == "https" and bool(host))) and parts.port != 0 and not parts.username
    except ValueError:
        return False


def read_environment_keys(section: Section, *, need_keys: bool) -> tuple[str, ...]:
    """Amazon's keys in the variables that its own tools read."""
    if not need_keys:
        return ()
    parts = [section.variable(f"AWS_{name}") for name in ("ACCESS_KEY_ID", "SECRET_ACCESS_KEY", "SESSION_TOKEN")]
    if not all(parts[:2]) or not all(part.isascii() and part.isprintable() for part in parts):
        fix = "export AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or choose another source"
        section.fault("credentials", "is environment, but the variables of AWS hold no keys", fix)
        return ()
    return (":".join(part for part in parts if part),)


def read_account(section: Section, *, need_keys: bool) -> ServiceAccount | None:
    fix = 'write the path of the service account\'s key file (JSON), or "instance" for that of this machine'
    path = section.path("credentials") if section.require("credentials", fix) else None
    if path is None or not need_keys:
        return None
    if not is_installed("google.auth"):
        section.fault("kind", "needs the package google-auth, which is not installed", EXTRA.format("vertex"))
    from cryptography.exceptions import UnsupportedAlgorithm  # noqa: PLC0415 - loaded only where it is needed
    from cryptography.hazmat.primitives.serialization import load_pem_private_key  # noqa: PLC0415 - as above

    try:
        info = msgspec.json.decode(path.read_bytes(), type=dict[str, str])
        load_pem_private_key(info["private_key"].encode(), None)
        account = ServiceAccount(info, info["token_uri"])
        usable = info["type"] == "service_account" and bool(info["client_email"])
    except (OSError, msgspec.DecodeError, KeyError, ValueError, UnsupportedAlgorithm):
        account, usable = None, False
    if account is None or not usable:
        section.fault("credentials", "is not the key file of a service account", "create a JSON key, and give its path")
        return None
    # What the file says is connected to, with a signature that is good for a token.
    return account if check_url(section, "credentials: token_uri", account.token_uri) else None


def check_aws_keys(section: Section, keys: tuple[str, ...]) -> None:
    if any(not all(parts) or len(parts) > 3 for parts in (key.split(":") for key in keys)):
        fix = "write ACCESS_KEY_ID:SECRET_ACCESS_KEY, with :SESSION_TOKEN if there is one, or an API key of Bedrock"
        section.fault("api_keys", "holds something else than keys of AWS", fix)
    if any(":" in key for key in keys):
        check_botocore(section)


def check_botocore(section: Section) -> None:
    if not is_installed("botocore"):
        section.fault("kind", "needs the package botocore, which is not installed", EXTRA.format("bedrock"))


def check_location(section: Section, cloud: Cloud, location: str, *, region: str, host: str, model: str = "") -> None:
    """Note a fault if requests to a location, for this model, are not kept in the region, or do not go there at all."""
    if not _IS_AT[cloud](host, location):
        section.fault("base_url", f"is not where {location} is served", f"use {usual_url(cloud, location)}")
    kept = vertex.region_of(location) if cloud is Cloud.VERTEX else bedrock.region_of(location, model)
    if region != kept:
        what = f"{model.partition('.')[0]}." if model and kept != bedrock.region_of(location) else location
        section.fault("region", f"is not the one that {what} is served in", f"state {kept}")
