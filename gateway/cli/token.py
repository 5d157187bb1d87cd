"""``token``: an access token on standard output, for agents that call a helper for their key.

Rules:

1. Standard output has only the token; messages to the person are written to standard error.
2. The sign-in is in one file that only its owner can read. Calls at the same time wait for each other, so that a
   refresh token is used once.
3. A new refresh token is on disk before its access token is printed.
4. A token is printed only if the gateway still accepts it. If the command has to sign in and standard error is not a
   terminal, it fails at once: an agent would wait for a browser that nobody opens.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from functools import cache
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import orjson

from gateway import variables
from gateway.cli.examples import examples
from gateway.cli.options import OperatorError
from gateway.files import write_file
from gateway.oauth import paths
from gateway.oauth.paths import CLIENT, DEVICE_GRANT

LEAST_LEFT_S = 300  # agents keep what a helper gives them for some minutes
ACCOUNT = "/v1/account"
TIMEOUT_S = 30
ASK_TIMEOUT_S = 5  # for a question whose answer may be missed
RETRY_S = 2


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """A token goes to the address that the person named and to no other."""

    def redirect_request(self, *_: object) -> None:
        return None


@cache
def _opener() -> urllib.request.OpenerDirector:
    """It reads which proxies there are when it is made."""
    return urllib.request.build_opener(_NoRedirect)


def _folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "codegrex"


@click.command(epilog=examples("token --url https://gateway.example.com", "token --sign-out"))
@click.option(
    "--url", envvar="CODEGREX_URL", default="http://127.0.0.1:8080", show_default=True, help="Address of the gateway."
)
@click.option(
    "--file",
    "path",
    type=click.Path(dir_okay=False, path_type=Path),
    help="File that keeps the sign-in. Default: sign-in.json in the user's configuration folder.",
)
@click.option("--sign-out", is_flag=True, help="Revoke the sign-in and delete the file.")
def token(url: str, path: Path | None, sign_out: bool) -> None:
    """Print an access token. The first time, sign in with a browser."""
    variables.restore(*variables.PROXIES)
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise OperatorError("--url: is not an address; use the form https://HOST")
    path = path or _folder() / "sign-in.json"
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        kept = _read(path, url)
        if sign_out:
            if kept is not None:
                _post(f"{url}{paths.REVOCATION}", token=kept["refresh_token"])
                path.unlink(missing_ok=True)
            return
        if kept is None or kept["expires"] - time.time() < LEAST_LEFT_S or not _taken(url, kept["access_token"]):
            found = (_refresh(url, kept) if kept is not None else None) or _sign_in(url)
            kept = {**found, "url": url, "expires": time.time() + found["expires_in"]}
            write_file(path, orjson.dumps(kept))
    click.echo(kept["access_token"])


def _read(path: Path, url: str) -> dict[str, Any] | None:
    """What is kept for this gateway."""
    try:
        kept: dict[str, Any] = orjson.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, orjson.JSONDecodeError):
        raise OperatorError(f"--file: {path} cannot be read as a sign-in; remove it") from None
    return kept if kept.get("url") == url else None


def _post(url: str, **form: str) -> tuple[int, dict[str, Any]]:
    """Send a form to an OAuth endpoint; repeat it for half a minute while there is no answer."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            with _opener().open(url, urllib.parse.urlencode(form).encode(), TIMEOUT_S) as answer:
                return 200, orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code < 500 or time.monotonic() > deadline:
                try:
                    return error.code, orjson.loads(error.read())
                except orjson.JSONDecodeError:
                    raise OperatorError(
                        "--url: a server answers there, but it is not a gateway; check the address"
                    ) from None
        except (OSError, orjson.JSONDecodeError):
            if time.monotonic() > deadline:
                raise OperatorError(
                    "--url: the gateway does not answer; check the address, and that the gateway runs"
                ) from None
        time.sleep(RETRY_S)


def _taken(url: str, access_token: str) -> bool:
    """Whether the gateway accepts the token. Any other error is left for the agent to find."""
    asked = urllib.request.Request(  # noqa: S310 - `token` has checked the scheme
        f"{url}{ACCOUNT}", headers={"Authorization": f"Bearer {access_token}"}
    )
    try:
        with _opener().open(asked, timeout=ASK_TIMEOUT_S):
            return True
    except urllib.error.HTTPError as error:
        return error.code != HTTPStatus.UNAUTHORIZED
    except OSError:
        return True


def _refresh(url: str, kept: dict[str, Any]) -> dict[str, Any] | None:
    """New tokens, or ``None`` if the sign-in has ended."""
    status, answer = _post(
        f"{url}{paths.TOKEN}", grant_type="refresh_token", refresh_token=kept["refresh_token"], client_id=CLIENT
    )
    if status == 200:
        return answer
    if answer.get("error") == "invalid_grant":
        return None
    raise OperatorError("the gateway cannot refresh the sign-in now; try again shortly")


def _sign_in(url: str) -> dict[str, Any]:
    if not sys.stderr.isatty():
        command = "codegrex-gateway " + shlex.join(sys.argv[1:])
        raise OperatorError(f"not signed in, and there is no terminal to sign in from; run in a terminal: {command}")
    status, codes = _post(
        f"{url}{paths.DEVICE_AUTHORIZATION}",
        client_id=CLIENT,
        app_version=version("codegrex-gateway"),
        platform=f"{sys.platform}-helper",
    )
    if status != 200:
        raise OperatorError("--url: the server there does not offer sign-in by device code; check the address")
    click.echo(f"Open {codes['verification_uri_complete']} and confirm the code {codes['user_code']}", err=True)
    interval = codes["interval"]
    while True:
        time.sleep(interval)
        status, answer = _post(
            f"{url}{paths.TOKEN}", grant_type=DEVICE_GRANT, device_code=codes["device_code"], client_id=CLIENT
        )
        if status == 200:
            return answer
        if answer.get("error") == "slow_down":
            interval += 5
        elif answer.get("error") != "authorization_pending":
            raise OperatorError("the sign-in was refused or took too long; run the command again")
