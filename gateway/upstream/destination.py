"""One configured provider, ready to be written to: its origin, its keys and the fixed request headers.

Everything that is the same for every request is bytes here, made at start.
"""

from __future__ import annotations

from collections.abc import Iterable

from gateway.config import ProviderConfig
from gateway.upstream.keys import Keys
from gateway.upstream.origin import Origin, tls_context
from providers.dialect import Family
from providers.redaction import Redaction

_KEY_HEADERS = {
    Family.OPENAI: b"authorization: Bearer %b",
    Family.ANTHROPIC: b"x-api-key: %b",
    Family.GOOGLE: b"x-goog-api-key: %b",
}
# One name for everybody: a client's own would tell its version, platform and machine.
_USER_AGENT = b"user-agent: codegrex-gateway"


class Destination:
    """Builds request heads for one provider.

    Attributes:
        name: The provider's, in records and labels.
        origin: Where it is.
        keys: Which of its keys to use.
        redaction: Removes from its errors what names the operator's account.
    """

    __slots__ = ("_endpoint", "_fixed", "keys", "name", "origin", "redaction")

    def __init__(self, provider: ProviderConfig) -> None:
        endpoint = provider.endpoint
        self.name = provider.name
        self.origin = Origin(
            host=endpoint.host,
            port=endpoint.port,
            tls=tls_context(provider.ca_file) if endpoint.tls else None,
        )
        self._endpoint = endpoint
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        authority = host if endpoint.port == (443 if endpoint.tls else 80) else f"{host}:{endpoint.port}"
        # identity: SDKs ask for gzip, and the usage would be invisible inside it.
        common = (b"host: " + authority.encode(), _USER_AGENT, b"accept-encoding: identity")
        self._fixed = tuple(
            b"\r\n".join((*common, _KEY_HEADERS[provider.family] % key.encode())) for key in provider.api_keys
        )
        self.keys = Keys(len(provider.api_keys))
        self.redaction = Redaction(provider.api_keys)

    def head(self, path: str, query: str, headers: Iterable[tuple[bytes, bytes]], length: int, *, key: int) -> bytes:
        """The request line and headers of a POST with a body of ``length`` bytes and the key at this position.

        ``headers`` come from the allow-list; a value with a control character was refused by the
        HTTP parser of the listener, so that nothing can be injected here.
        """
        lines = [
            b"POST " + self._endpoint.path(path).encode() + query.encode() + b" HTTP/1.1",
            self._fixed[key],
            *(b"%b: %b" % pair for pair in headers),
            b"content-length: %d\r\n\r\n" % length,
        ]
        return b"\r\n".join(lines)
