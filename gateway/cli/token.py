"""``token``: an access token on standard output, for agents that call a helper for their key.

Rules:

1. Standard output holds the token and nothing else; what a person must read goes to standard error.
2. What is kept is in one file that its owner alone can read. Calls at the same time wait for each other,
   so that a refresh token is used once.
3. A new refresh token is on disk before its access token is given out.
"""

from __future__ import annotations

import fcntl
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from importlib.metadata import version
from pathlib import Path
from typing import Any

import click
import orjson

from gateway.cli.options import OperatorError
from gateway.files import write_file
from gateway.oauth import paths
from gateway.oauth.paths import CLIENT, DEVICE_GRANT

LEAST_LEFT_S = 300  # agents keep what a helper gives them for some minutes
TIMEOUT_S = 30
RETRY_S = 2


def _folder() -> Path:
    return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "codegrex"


@click.command()
@click.option("--url", envvar="CODEGREX_URL", default="http://127.0.0.1:8080", show_default=True, help="The gateway.")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), help="Where the sign-in is kept.")
@click.option("--sign-out", is_flag=True, help="Revoke the sign-in and forget it.")
def token(url: str, path: Path | None, sign_out: bool) -> None:
    """Print an access token; the first time, sign in with a browser."""
    url = url.rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise OperatorError("--url: is not an address; write https://HOST")
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
        if kept is None or kept["expires"] - time.time() < LEAST_LEFT_S:
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
        raise OperatorError(f"--file: {path} is not a sign-in of this command; remove it") from None
    return kept if kept.get("url") == url else None


def _post(url: str, **form: str) -> tuple[int, dict[str, Any]]:
    """A form to an OAuth endpoint; what is not answered is asked again for half a minute."""
    deadline = time.monotonic() + TIMEOUT_S
    while True:
        try:
            with urllib.request.urlopen(url, urllib.parse.urlencode(form).encode(), TIMEOUT_S) as answer:  # noqa: S310 - checked above
                return 200, orjson.loads(answer.read())
        except urllib.error.HTTPError as error:
            if error.code < 500 or time.monotonic() > deadline:
                try:
                    return error.code, orjson.loads(error.read())
                except orjson.JSONDecodeError:
                    raise OperatorError("--url: what answers there is no gateway") from None
        except (OSError, orjson.JSONDecodeError):
            if time.monotonic() > deadline:
                raise OperatorError("--url: the gateway does not answer; check the address and that it runs") from None
        time.sleep(RETRY_S)


def _refresh(url: str, kept: dict[str, Any]) -> dict[str, Any] | None:
    """New tokens, or ``None`` where the sign-in has ended."""
    status, answer = _post(
        f"{url}{paths.TOKEN}", grant_type="refresh_token", refresh_token=kept["refresh_token"], client_id=CLIENT
    )
    if status == 200:
        return answer
    if answer.get("error") == "invalid_grant":
        return None
    raise OperatorError("the gateway can't refresh the sign-in now; try again shortly")


def _sign_in(url: str) -> dict[str, Any]:
    status, codes = _post(
        f"{url}{paths.DEVICE_AUTHORIZATION}",
        client_id=CLIENT,
        app_version=version("codegrex-gateway"),
        platform=f"{sys.platform}-helper",
    )
    if status != 200:
        raise OperatorError("--url: what answers there takes no sign-in by device code")
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
            raise OperatorError("the sign-in was refused or took too long; run the same again")
