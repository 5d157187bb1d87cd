"""A store of each form that ``store.url`` has, as real servers."""

from __future__ import annotations

import datetime as dt
import ipaddress
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.contracts.servers import Server, make_cluster, until
from tests.tools import need

FORMS = (
    "embedded",
    "redis",
    "redis-password",
    "rediss",
    "redis+cluster",
    "redis+sentinel-1",
    "redis+sentinel-2",
    "redis+sentinel-first-away",
    "rediss+sentinel-2",
)
SERVICE = "main"


@contextmanager
def store_of(form: str, folder: Path) -> Iterator[str]:
    """The URL of a running store of one of `FORMS`."""
    with ExitStack() as servers:
        if form == "embedded":
            yield "embedded:"
        elif form == "redis":
            yield f"redis://127.0.0.1:{_server(servers, folder).port}"
        elif form == "redis-password":
            options = ("user gateway on >s:ecret@ ~* &* +@all", "user default on nopass ~* &* +@all")
            yield f"redis://gateway:s%3Aecret%40@127.0.0.1:{_server(servers, folder, *options).port}/3"
        elif form == "rediss":
            server = servers.enter_context(_over_tls(folder))
            yield f"rediss://127.0.0.1:{server.port}?ssl_ca_certs={folder}/cert.pem"
        elif form == "redis+cluster":
            nodes = make_cluster(folder / "cluster")
            for node in nodes:
                servers.callback(node.kill)
            yield f"redis+cluster://127.0.0.1:{nodes[0].port}"
        elif form == "rediss+sentinel-2":
            server = servers.enter_context(_over_tls(folder))
            sentinels = [
                servers.enter_context(_over_tls(folder, f"sentinel{number}", watched=server)) for number in range(2)
            ]
            yield f"rediss+{_sentinel_url(sentinels)}?ssl_ca_certs={folder}/cert.pem"
        else:
            server = _server(servers, folder)
            sentinels = [
                _server(servers, folder, *_watching(server), name=f"sentinel{number}", arguments=("--sentinel",))
                for number in range(1 if form == "redis+sentinel-1" else 2)
            ]
            if form == "redis+sentinel-first-away":
                sentinels[0].kill()
            yield f"redis+{_sentinel_url(sentinels)}"


def _sentinel_url(sentinels: list[Server]) -> str:
    return f"sentinel://{','.join(f'127.0.0.1:{sentinel.port}' for sentinel in sentinels)}/{SERVICE}"


def _watching(server: Server) -> tuple[str, ...]:
    return (f"sentinel monitor {SERVICE} 127.0.0.1 {server.port} 1",)


def _server(
    servers: ExitStack, folder: Path, *options: str, name: str = "server", arguments: tuple[str, ...] = ()
) -> Server:
    server = Server(folder / name, *options, arguments=arguments)
    servers.callback(server.kill)
    return server


@contextmanager
def _over_tls(folder: Path, name: str = "server", watched: Server | None = None) -> Iterator[Server]:
    """A server, or a Sentinel of ``watched``, that speaks TLS only. The embedded store's binary is built without."""
    if not (folder / "cert.pem").exists():
        make_certificate(folder)
    arguments = () if watched is None else ("--sentinel",)
    server = Server(
        folder / name,
        *(() if watched is None else _watching(watched)),
        binary=need("redis-server"),
        arguments=arguments,
    )
    server.kill()
    server.answers = lambda: socket.create_connection(("127.0.0.1", server.port)).close() is None
    server.options = (
        "port 0",
        f"tls-port {server.port}",
        f"tls-cert-file {folder}/cert.pem",
        f"tls-key-file {folder}/key.pem",
        f"tls-ca-cert-file {folder}/cert.pem",
        "tls-auth-clients no",
        "tls-replication yes",
        *(() if watched is None else _watching(watched)),
    )
    server.start()
    until(server.answers, "a TLS port")
    try:
        yield server
    finally:
        server.kill()


def make_certificate(folder: Path) -> None:
    """A throw-away authority that is its own server: ``cert.pem`` and ``key.pem`` in ``folder``."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "store")])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
