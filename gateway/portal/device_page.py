"""The pages on which a person lets a device in."""

from __future__ import annotations

from gateway.oauth.device import PendingGrant, normalized, shown
from gateway.portal.page import esc, hidden, when
from gateway.portal.paths import PagePath

WRONG = "This code is wrong, expired or already used. Check it, or start again on the device."


def enter(fault: str = "") -> str:
    """Ask for the code."""
    described = ' aria-describedby="fault" aria-invalid="true"' if fault else ""
    said = f'<p id="fault" class="fault" role="alert">{esc(fault)}</p>' if fault else ""
    return (
        '<section class="card narrow"><h1>Connect a device</h1>'
        "<p>Enter the code that your device shows.</p>"
        f'<form method="get" action="{PagePath.DEVICE}"><label for="user_code">Code</label>'
        '<input id="user_code" name="user_code" class="code" required maxlength="16" autocomplete="off" '
        f'autocapitalize="characters" spellcheck="false" placeholder="XXXX-XXXX"{described} autofocus>{said}'
        '<button class="main">Continue</button></form></section>'
    )


def confirm(user_code: str, grant: PendingGrant, app: str, token: str) -> str:
    """Show what asks, and ask."""
    code = shown(normalized(user_code) or "")
    rows = "".join(
        f"<div><dt>{name}</dt><dd>{value}</dd></div>"
        for name, value in (
            ("App", esc(app)),
            ("Version", esc(grant.app_version or "not stated")),
            ("Platform", esc(grant.platform or "not stated")),
            ("Asked", when(grant.created_ms)),
        )
    )
    return (
        '<section class="card narrow"><h1>Connect this device?</h1>'
        f'<p class="code" aria-label="Code">{code}</p>'
        f"<dl>{rows}</dl>"
        '<p class="notice">Only approve if you started this yourself just now and your device shows this very code. '
        "The device will use your credits until you revoke it.</p>"
        f'<form method="post" action="{PagePath.DEVICE}" class="choices">{hidden("form_token", token)}'
        f'{hidden("user_code", code)}<button class="main" name="decision" value="approve">Approve</button>'
        '<button name="decision" value="deny">Deny</button></form></section>'
    )


def decided(*, approved: bool) -> str:
    if approved:
        title, text = "Device connected", "Return to your device. You may close this page."
    else:
        title, text = (
            "Device refused",
            "The device gets no access. If you did not start this sign-in, you need not do anything else.",
        )
    return (
        f'<section class="card narrow" role="status"><h1>{title}</h1><p>{text}</p>'
        f'<p><a href="{PagePath.ACCOUNT}">See your account</a></p></section>'
    )
