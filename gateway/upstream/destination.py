"""One configured provider, ready to be written to: its origin, its keys and the fixed request headers.

Everything that is the same for every request is bytes here, made at start. What is not: a token, which is replaced
before it ends (`gateway.upstream.tokens`), and a signature, which is made of each request.
"""

from __future__ import annotations

from collections.abc import Callable

from gateway.config import Cloud, ProviderConfig
from gateway.upstream.concurrency import Turnstile
from gateway.upstream.faults import Fault, UpstreamFault
from gateway.upstream.keys import Keys
from gateway.upstream.origin import Origin, tls_context
from gateway.upstream.sigv4 import SigV4, secrets_of
from gateway.upstream.target_health import TargetHealth
from providers.dialect import Family, Wire
from providers.headers import query_string
from providers.hosts import bedrock, mantle
from providers.hosts.host import Headers, Host, Shape
from providers.redaction import Redaction
from providers.steps import Steps

_BEARER = b"authorization: Bearer %b"
_KEY_HEADERS = {
    Family.OPENAI: _BEARER,
    Family.ANTHROPIC: b"x-api-key: %b",
    Family.GOOGLE: b"x-goog-api-key: %b",
}
_CLOUD_HEADERS = {
    Cloud.AZURE: b"api-key: %b",
    Cloud.BEDROCK: _BEARER,
    Cloud.MANTLE: _BEARER,
    Cloud.VERTEX: _BEARER,
}
_SERVICES = {Cloud.BEDROCK: bedrock.SERVICE, Cloud.MANTLE: mantle.SERVICE}  # that requests are signed for
# One name for everybody: a client's own would tell its version, platform and machine.
_USER_AGENT = b"user-agent: codegrex-gateway"
MOST_TURNSTILES = 256


class Destination:
    """Builds request heads for one provider.

    Attributes:
        name: The provider's, in records and labels.
        origin: Where it is.
        keys: Which of its keys to use.
        health: How its models fare.
        turnstiles: Of its models that were asked for; ``None`` if it takes any number of requests.
        host: How it takes a request.
        redaction: Removes from its errors what names the operator's account.
        renew: Called when a key was refused: what keeps its token valid may ask for another one.
    """

    __slots__ = (
        "_common",
        "_endpoint",
        "_fixed",
        "_header",
        "_provider",
        "_signer",
        "health",
        "host",
        "keys",
        "name",
        "origin",
        "redaction",
        "renew",
        "turnstiles",
    )

    def __init__(self, provider: ProviderConfig) -> None:
        endpoint = provider.endpoint
        self._provider = provider
        self.name = provider.name
        self.origin = Origin(
            host=endpoint.host,
            port=endpoint.port,
            tls=tls_context(provider.ca_file) if endpoint.tls else None,
        )
        self._endpoint = endpoint
        self.host: Host = provider.host
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        authority = host if endpoint.port == (443 if endpoint.tls else 80) else f"{host}:{endpoint.port}"
        # identity: SDKs ask for gzip, and the usage would be invisible inside it.
        self._common = b"\r\n".join((b"host: " + authority.encode(), _USER_AGENT, b"accept-encoding: identity"))
        self._header = _KEY_HEADERS[provider.family] if provider.cloud is None else _CLOUD_HEADERS[provider.cloud]
        service = None if provider.cloud is None else _SERVICES.get(provider.cloud)
        self._signer: SigV4 | None = None
        lent = provider.machine is not None
        if service is not None and (lent or any(map(secrets_of, provider.api_keys))):
            keys = ("",) if lent else provider.api_keys
            self._signer = SigV4(keys, service, provider.location, endpoint.address)
        # `None` is a key that has no token; one that signs has only what all have.
        self._fixed: list[bytes | None] = [
            self._common if service and secrets_of(key) else self._with(key) for key in provider.api_keys
        ]
        secrets = [part for key in provider.api_keys for part in ((service and secrets_of(key)) or (key,))]
        if lent:
            self._fixed = [None]
        if provider.account is not None:
            self._fixed = [None]
            secrets = [
                provider.account.info[name]
                for name in ("client_email", "project_id", "private_key_id")
                if name in provider.account.info
            ]
        self.keys = Keys(provider.key_count, provider.key_weights, provider.name)
        self.health = TargetHealth()
        self.turnstiles: dict[str, Turnstile] | None = {} if provider.adaptive_concurrency else None
        self.redaction = Redaction(secrets)
        self.renew: Callable[[], None] = _nothing

    def inherit(self, before: Destination) -> None:
        """Take over from the same provider of an earlier configuration what is known of it: the health of keys that it
        still has, and, if it is at the same place, its connections and the health of its models.
        """
        was, now = before._provider, self._provider
        if not any((was.account, now.account, was.machine, now.machine)):
            old = {key: position for position, key in enumerate(was.api_keys)}
            kept = {position: old[key] for position, key in enumerate(now.api_keys) if key in old}
            self.keys.inherit(before.keys, kept)
        if (was.endpoint, was.ca_file) == (now.endpoint, now.ca_file):
            self.origin, self.health = before.origin, before.health
            if self.turnstiles is not None and before.turnstiles is not None:
                self.turnstiles = before.turnstiles

    def _with(self, key: str) -> bytes:
        return self._common + b"\r\n" + self._header % key.encode()

    def put_token(self, token: str | None) -> None:
        """From now on requests are sent with this token; with ``None``, none are sent.

        Of a provider whose requests are signed it is a key (`gateway.upstream.sigv4.key_of`).
        """
        if token is None:
            self._fixed[0] = None
        elif self._signer is None:
            self._fixed[0] = self._with(token)
        else:
            self._signer.replace(0, token)
            self.redaction = Redaction(secrets_of(token))
            self._fixed[0] = self._common

    def shape(self, wire: Wire, model: str, *, stream: bool, query: str, headers: Headers) -> Shape:
        """What a request for one of its models looks like. The path is the host's own.

        Args:
            wire: The operation.
            model: The provider's own name of the model.
            stream: The caller asked for a stream.
            query: The client's; only what a provider may see of it is sent.
            headers: From the allow-list; a value with a control character was refused by the HTTP parser of the
                listener, so that nothing can be injected here.
        """
        shape = self.host.shape(wire, model, stream=stream, query=query_string(query), headers=headers)
        return shape._replace(path=self._endpoint.path(shape.path))

    def turnstile(self, model: str) -> Turnstile | None:
        """Of one model, if the provider has them. Models beyond `MOST_TURNSTILES` share one."""
        if self.turnstiles is None:
            return None
        if model not in self.turnstiles and len(self.turnstiles) >= MOST_TURNSTILES:
            model = ""
        return self.turnstiles.setdefault(model, Turnstile())

    def head(self, shape: Shape, *body: bytes | memoryview, key: int) -> Steps[bytes]:
        """The request line and headers of a POST of ``body``, in parts, with the key at this position.

        Raises:
            UpstreamFault: CREDENTIALS.
        """
        fixed = self._fixed[key]
        if fixed is None:
            raise UpstreamFault(Fault.CREDENTIALS)
        lines = [
            b"POST " + shape.path.encode() + shape.query.encode() + b" HTTP/1.1",
            fixed,
            *(b"%b: %b" % pair for pair in shape.headers),
        ]
        if self._signer is not None and fixed is self._common:
            signed = yield from self._signer.sign(key, shape, *body)
            lines += (b"%b: %b" % pair for pair in signed)
        lines.append(b"content-length: %d\r\n\r\n" % sum(map(len, body)))
        return b"\r\n".join(lines)


def _nothing() -> None:
    """A key that is configured is not renewed."""
