"""The part of the account page about personal access tokens: keys for tools that take one static key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from gateway.auth.sessions import Session
from gateway.portal.page import esc, hidden
from gateway.portal.paths import PagePath
from gateway.portal.session_row import session_row

LIVES: Final = {"30": "30 days", "90": "90 days", "365": "1 year"}
"""Days that a token may last, and how that is said."""


def tokens(held: Sequence[Session], *, token: str) -> str:
    """The section. ``held``: tokens that still work; ``token``: the form's."""
    field = hidden("form_token", token)
    items = "".join(session_row(session, token) for session in held)
    listed = f'<ul class="rows">{items}</ul>' if items else '<p class="quiet">None yet.</p>'
    lives = "".join(f'<option value="{days}">{said}</option>' for days, said in LIVES.items())
    return (
        '<section class="card" aria-labelledby="tokens"><h2 id="tokens">Access tokens</h2>'
        '<p class="quiet">For tools that take one key, such as coding agents. A token works until it ends or is revoked'
        f".</p>{listed}"
        f'<form method="post" action="{PagePath.TOKEN}">{field}'
        '<label for="name">Name</label><input id="name" name="name" required maxlength="32" autocomplete="off">'
        f'<label for="days">Lasts</label><select id="days" name="days">{lives}</select>'
        '<button class="main">Create token</button></form></section>'
    )


def made(secret: str, name: str) -> str:
    """The page that shows a new token, this once."""
    return (
        '<h1>Access token</h1><section class="card" aria-labelledby="made">'
        f'<h2 id="made">{esc(name)}</h2>'
        '<p role="status">Copy the token now: it is not shown again. Whoever has it can use your credits.</p>'
        f'<label for="secret">Token</label><textarea id="secret" readonly rows="3">{esc(secret)}</textarea>'
        f'<p><a href="{PagePath.ACCOUNT}#tokens">Back to the account</a></p></section>'
    )
