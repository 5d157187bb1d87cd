"""A Supabase project that a local server stands in for: it publishes its key, and signs everybody in at once."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt
from cryptography.hazmat.primitives.asymmetric import ec
from jwt.algorithms import ECAlgorithm

KEY = ec.generate_private_key(ec.SECP256R1())
KID = "one"


class _Project(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        url = f"http://127.0.0.1:{self.server.server_address[1]}"
        if self.path.endswith("jwks.json"):
            body = json.dumps({"keys": [{**ECAlgorithm.to_jwk(KEY.public_key(), as_dict=True), "kid": KID}]}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)
            return
        back = parse_qs(urlsplit(self.path).query)["redirect_to"][0]
        self.send_response(302)
        self.send_header("Location", f"{back}#access_token={token(url)}&token_type=bearer")
        self.end_headers()

    def log_message(self, *_arguments: Any) -> None: ...


def token(
    url: str,
    sub: str = "11111111-2222-3333-4444-555555555555",
    *,
    key: ec.EllipticCurvePrivateKey = KEY,
    kid: str = KID,
    **more: Any,
) -> str:
    """An access token as the project at ``url`` signs it; ``more`` are further claims."""
    claims = {"iss": f"{url}/auth/v1", "aud": "authenticated", "sub": sub, "role": "authenticated"}
    return jwt.encode({**claims, "exp": int(time.time()) + 600, **more}, key, algorithm="ES256", headers={"kid": kid})


@contextmanager
def project() -> Iterator[str]:
    """The server's URL while it runs."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Project)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    server.server_close()


def configured(url: str) -> dict[str, Any]:
    """The tables of a gateway whose people sign in there."""
    return {"supabase": {"url": url}, "portal": {"sign_in_url": f"{url}/auth/v1/authorize?provider=github"}}
