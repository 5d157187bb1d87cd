"""Sign in by device code, refresh once, stream, and say why the stream ended. Needs only Python.

python examples/sign_in.py http://127.0.0.1:8080 MODEL
"""

import http.client
import json
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

CLIENT = {"client_id": "codegrex-ide"}
DEVICE_GRANT = "urn:ietf:params:oauth:grant-type:device_code"


def post(url: str, **parameters: str) -> tuple[int, dict]:
    """A form to an OAuth endpoint: the status and the JSON of its answer.

    No answer, 429 and 5xx say nothing about codes and tokens: the same is asked again.
    """
    request = urllib.request.Request(url, urllib.parse.urlencode(parameters).encode())
    wait = 1
    while True:
        after = None
        try:
            with urllib.request.urlopen(request) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            if error.code != 429 and error.code < 500:
                return error.code, json.load(error)
            after = error.headers["Retry-After"]
        except OSError:
            pass
        time.sleep(max(wait, int(after or 0)))
        wait = min(2 * wait, 30)


def sign_in(base: str) -> dict:
    """Wait until a person has approved this device: the tokens."""
    status, codes = post(f"{base}/oauth/device_authorization", **CLIENT, app_version="1.0.0", platform="linux-example")
    if status != 200:
        raise SystemExit(codes["error_description"])
    print(f"Open {codes['verification_uri']} and enter {codes['user_code']}", flush=True)
    interval = codes["interval"]
    while True:
        time.sleep(interval)
        status, answer = post(
            f"{base}/oauth/token", **CLIENT, grant_type=DEVICE_GRANT, device_code=codes["device_code"]
        )
        if status == 200:
            return answer
        if answer["error"] == "slow_down":
            interval += 5
        elif answer["error"] != "authorization_pending":
            raise SystemExit(answer["error"])


def refresh(base: str, tokens: dict) -> dict:
    """New tokens. Keep them before you use them: the old refresh token can be repeated for 30 seconds."""
    status, answer = post(
        f"{base}/oauth/token", **CLIENT, grant_type="refresh_token", refresh_token=tokens["refresh_token"]
    )
    if status != 200:
        raise SystemExit("signed out")  # invalid_grant: sign in again
    return answer


def stream(base: str, model: str, token: str) -> str:
    """Print an answer as it arrives. Returns the gateway's error code, or an empty text if it is complete."""
    body = json.dumps({"model": model, "stream": True, "messages": [{"role": "user", "content": "Hello"}]}).encode()
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    request = urllib.request.Request(f"{base}/v1/chat/completions", body, headers)
    try:
        with urllib.request.urlopen(request) as answer:
            for line in answer:
                if not line.startswith(b"data: "):
                    continue
                data = line[len(b"data: ") :].strip()
                if data == b"[DONE]":
                    return ""
                event = json.loads(data)
                if "error" in event:
                    return event["error"]["code"]
                for choice in event["choices"]:
                    print(choice["delta"].get("content") or "", end="", flush=True)
    except urllib.error.HTTPError as error:
        return error.headers["x-error-code"]
    except (http.client.HTTPException, ConnectionError):
        pass
    return "cut"


def main() -> None:
    base, model = sys.argv[1].rstrip("/"), sys.argv[2]
    tokens = refresh(base, sign_in(base))
    print("signed in", flush=True)
    print(f"\nended: {stream(base, model, tokens['access_token']) or 'complete'}", flush=True)


if __name__ == "__main__":
    main()
