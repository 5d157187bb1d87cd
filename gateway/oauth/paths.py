"""The paths of the OAuth endpoints and the names in their forms, for the endpoints themselves, their metadata and the
command line.
"""

from __future__ import annotations

from typing import Final

PREFIX: Final = "/oauth/"
"""Every path under it belongs to the endpoints: errors there have RFC 6749's body, also for an unknown path."""

DEVICE_AUTHORIZATION: Final = f"{PREFIX}device_authorization"
TOKEN: Final = f"{PREFIX}token"
REVOCATION: Final = f"{PREFIX}revoke"
METADATA: Final = "/.well-known/oauth-authorization-server"
"""RFC 8414 section 3."""

VERIFICATION: Final = "/device"
"""The page on which a person enters the user code (RFC 8628 section 3.2, ``verification_uri``)."""

CLIENT: Final = "codegrex-ide"
"""The public client that needs no entry in the configuration."""
DEVICE_GRANT: Final = "urn:ietf:params:oauth:grant-type:device_code"
"""RFC 8628 section 3.4."""
REFRESH_GRANT: Final = "refresh_token"
"""RFC 6749 section 6."""
