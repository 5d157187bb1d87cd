"""Reads ``store.url``, for the configuration, the connections and the list of hosts.

The forms, with ``rediss`` in place of ``redis`` for TLS::

    embedded:
    redis://[[USER]:PASSWORD@]HOST[:PORT][/DB]
    redis+cluster://[[USER]:PASSWORD@]HOST[:PORT]
    redis+sentinel://[[USER]:PASSWORD@]HOST[:PORT][,HOST[:PORT]...]/SERVICE[/DB]

A ``rediss`` form takes `TLS_OPTIONS` as its query, such as ``?ssl_ca_certs=/etc/ca.pem``. The credentials are for the
servers; Sentinels get none. User and password are percent-encoded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from metering.numbers import whole_number

EMBEDDED = "embedded:"  # the store in the data directory
PORT = 6379
SENTINEL_PORT = 26379
TLS_OPTIONS = frozenset((
    "ssl_ca_certs", "ssl_ca_path", "ssl_certfile", "ssl_keyfile", "ssl_password", "ssl_cert_reqs",
    "ssl_check_hostname", "ssl_ciphers",
))  # fmt: skip
"""The TLS options of redis-py that a URL can state."""
_CERT_REQS = ("none", "optional", "required")
_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}


class StoreKind(StrEnum):
    EMBEDDED = "embedded"
    SERVER = "server"
    CLUSTER = "cluster"
    SENTINEL = "sentinel"


_KINDS = {"": StoreKind.SERVER, "cluster": StoreKind.CLUSTER, "sentinel": StoreKind.SENTINEL}
FORMS: Mapping[StoreKind, str] = {
    StoreKind.EMBEDDED: EMBEDDED,
    StoreKind.SERVER: "redis://HOST:PORT[/DB]",
    StoreKind.CLUSTER: "redis+cluster://HOST:PORT",
    StoreKind.SENTINEL: "redis+sentinel://HOST:PORT[,HOST:PORT...]/SERVICE[/DB]",
}
SCHEMES = tuple(f"{tls}{plus}" for plus in ("", "+cluster", "+sentinel") for tls in ("redis", "rediss"))


class InvalidAddress(ValueError):
    """Not the address of a store. The message lists the forms and quotes nothing, since an address holds a password."""

    def __init__(self, *forms: StoreKind) -> None:
        written = ", ".join(FORMS[kind] for kind in forms or StoreKind)
        super().__init__(f"write {written}" + ("" if forms == (StoreKind.EMBEDDED,) else "; rediss for TLS"))


@dataclass(frozen=True, slots=True)
class StoreAddress:
    """A store's address. ``hosts`` are the server, a node of the Cluster, or all Sentinels; none if embedded.

    Attributes:
        tls_options: Arguments of redis-py's TLS connections.
        service: The name under which the Sentinels know the primary.
    """

    kind: StoreKind
    hosts: tuple[tuple[str, int], ...] = ()
    tls: bool = False
    username: str | None = None
    password: str | None = field(default=None, repr=False)
    db: int = 0
    service: str = ""
    tls_options: Mapping[str, str | bool] = field(default_factory=dict, repr=False)

    @property
    def places(self) -> str:
        """Where the store listens, for operators: hosts and ports, never the credentials."""
        if self.kind is StoreKind.EMBEDDED:
            return "the embedded store"
        return ", ".join(f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in self.hosts)


def read_address(url: str) -> StoreAddress:
    """Read ``store.url``.

    Raises:
        InvalidAddress: It has none of the forms.
    """
    if url == EMBEDDED:
        return StoreAddress(StoreKind.EMBEDDED)
    try:
        parts = urlsplit(url)
    except ValueError:
        raise InvalidAddress from None
    if parts.scheme not in SCHEMES or not url.startswith(f"{parts.scheme}://"):
        raise InvalidAddress
    base, _, plus = parts.scheme.partition("+")
    kind, tls = _KINDS[plus], base == "rediss"
    try:
        return _read(parts, kind, tls=tls)
    except (ValueError, KeyError):
        raise InvalidAddress(kind) from None


def _read(parts: SplitResult, kind: StoreKind, *, tls: bool) -> StoreAddress:
    """Raises ValueError and KeyError."""
    credentials, _, netloc = parts.netloc.rpartition("@")
    username, _, password = credentials.partition(":")
    texts = netloc.split(",")
    path = parts.path.strip("/").split("/") if parts.path.strip("/") else []
    service = path.pop(0) if kind is StoreKind.SENTINEL and path else ""
    db = _number(path.pop(0)) if path else 0
    wrong = (
        (len(texts) > 1 and kind is not StoreKind.SENTINEL)
        or (kind is StoreKind.SENTINEL and not service)
        or (db and kind is StoreKind.CLUSTER)
        or path
        or (parts.query and not tls)
        or parts.fragment
        or "@" in parts.path  # a password with an unencoded slash: its rest would be taken for the service
    )
    if wrong:
        raise ValueError("not of the form")
    return StoreAddress(
        kind,
        tuple(_host(text, SENTINEL_PORT if kind is StoreKind.SENTINEL else PORT) for text in texts),
        tls,
        unquote(username) or None,
        unquote(password) or None,
        db,
        unquote(service),
        _tls_options(parts.query),
    )


def _tls_options(query: str) -> dict[str, str | bool]:
    """Raises ValueError and KeyError."""
    options: dict[str, str | bool] = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
    if not options.keys() <= TLS_OPTIONS or options.get("ssl_cert_reqs", "required") not in _CERT_REQS:
        raise ValueError("not a TLS option")
    if (stated := options.get("ssl_check_hostname")) is not None:
        options["ssl_check_hostname"] = _BOOLEANS[str(stated).lower()]
    return options


def _host(text: str, default: int) -> tuple[str, int]:
    """A host and its port. Raises ValueError."""
    parts = urlsplit(f"//{text}")
    port = default if parts.port is None else parts.port
    if not parts.hostname or parts.netloc != text or not port:
        raise ValueError("no host")
    return parts.hostname, port


def _number(text: str) -> int:
    number = whole_number(text, 99_999)
    if number is None:
        raise ValueError("no number")
    return number
