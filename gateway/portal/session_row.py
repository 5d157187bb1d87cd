"""One line of the account page's lists: a session or an access token, until when it works, and how it is ended."""

from __future__ import annotations

from gateway.auth.sessions import Session
from gateway.portal.page import esc, hidden, when
from gateway.portal.paths import PagePath


def session_row(session: Session, token: str) -> str:
    """The list's item. ``token``: the form's."""
    if session.personal:
        name, made = session.name, "Made"
    else:
        name = " ".join(part for part in (session.platform, session.app_version) if part) or "Session"
        made = "Signed in"
    sid = esc(session.sid)
    return (
        f'<li><div><strong id="s-{sid}">{esc(name)}</strong><span class="quiet">{made} '
        f"{when(session.created_ms)} \N{MIDDLE DOT} ends {when(session.expires_ms)}</span></div>"
        f'<form method="post" action="{PagePath.REVOKE}">{hidden("form_token", token)}{hidden("sid", session.sid)}'
        f'<button aria-describedby="s-{sid}">Revoke</button></form></li>'
    )
