"""The address by which people and apps reach this gateway."""

from __future__ import annotations

from gateway.config import Config, ServerConfig


def over_tls(server: ServerConfig) -> bool:
    """Whether callers come over TLS, which the listener ends itself or a proxy before it."""
    return server.tls_cert is not None or server.behind_tls_proxy


def own_address(config: Config, host: str) -> str:
    """The configured origin, or the one by which a caller who named ``host`` reached the listener."""
    return config.portal.url or f"{'https' if over_tls(config.server) else 'http'}://{host}"
