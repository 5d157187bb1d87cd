"""The page of an account: credits, usage, sessions, access tokens, where prompts may go, and what its owner may do."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from gateway.auth.choice import REGIONS as CHOSEN_REGIONS
from gateway.auth.choice import Choice
from gateway.auth.sessions import Session
from gateway.portal.chart import UsageByDay, draw
from gateway.portal.page import amount, esc, hidden, when
from gateway.portal.paths import PagePath
from metering.ledger.ledger import Account

DONE = {
    "revoked": "It was revoked.",
    "all-revoked": "All sessions were revoked.",
    "policy": "Your choice is saved. It applies to your next request.",
}
_REGIONS = {
    "": "Anywhere",
    "us": "United States",
    "eu": "European Union",
    "uk": "United Kingdom",
    "ch": "Switzerland",
    "ca": "Canada",
    "br": "Brazil",
    "in": "India",
    "jp": "Japan",
    "kr": "South Korea",
    "sg": "Singapore",
    "au": "Australia",
}
REGIONS = frozenset(_REGIONS)
assert REGIONS - {""} == set(CHOSEN_REGIONS)
_RETENTIONS = {"": "As long as the provider states", "30": "30 days at most", "0": "Not at all"}
RETENTIONS = frozenset(_RETENTIONS)
_MODES = (
    ("", "Cloud", "Prompts go to the provider of the model that you select."),
    ("local", "Local only", "Prompts never leave your machine. Requests to cloud models are refused."),
)
MODES = frozenset(value for value, _, _ in _MODES)
TOKEN_LIVES: Final = {"30": "30 days", "90": "90 days", "365": "1 year"}
"""Days that a personal access token may last, and how the page says it."""


def account_page(
    account: Account | None, used: UsageByDay, sessions: Sequence[Session], policy: Choice, *, token: str, done: str
) -> str:
    """The main part. ``sessions``: those that still work. ``done``: a key of `DONE`, or empty."""
    said = f'<p class="done" role="status">{esc(DONE[done])}</p>' if done in DONE else ""
    return (
        f"<h1>Account</h1>{said}{_credits(account)}"
        f'<section class="card" aria-labelledby="usage"><h2 id="usage">Usage, last 30 days</h2>{draw(used)}</section>'
        f"{_sessions([one for one in sessions if not one.personal], token)}"
        f"{_tokens([one for one in sessions if one.personal], token)}{_policy(policy, token)}{_data(token)}"
    )


def _credits(account: Account | None) -> str:
    left, spent, held = (account.available, account.spent, account.held) if account is not None else (0, 0, 0)
    return (
        '<section class="card" aria-labelledby="credits"><h2 id="credits">Credits</h2><dl class="figures">'
        f'<div class="first"><dt>Available</dt><dd>{amount(left)}</dd></div>'
        f"<div><dt>Spent</dt><dd>{amount(spent)}</dd></div>"
        f"<div><dt>Held by running requests</dt><dd>{amount(held)}</dd></div></dl></section>"
    )


def _sessions(sessions: Sequence[Session], token: str) -> str:
    head = '<section class="card" aria-labelledby="sessions"><h2 id="sessions">Devices and sessions</h2>'
    if not sessions:
        return (
            f'{head}<p class="quiet">None is signed in. <a href="{PagePath.DEVICE}">Connect a device</a></p></section>'
        )
    items = "".join(session_row(session, token) for session in sessions)
    return (
        f'{head}<ul class="rows">{items}</ul>'
        f'<form method="post" action="{PagePath.REVOKE_ALL}">{hidden("form_token", token)}'
        '<button class="danger">Revoke all</button></form></section>'
    )


def session_row(session: Session, token: str) -> str:
    """One item of the lists: a session or an access token, until when it works, and a form to end it.

    ``token`` is the form's.
    """
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


def _tokens(held: Sequence[Session], token: str) -> str:
    """Keys for tools that take one static key. ``held``: those that still work; ``token``: the form's."""
    field = hidden("form_token", token)
    items = "".join(session_row(session, token) for session in held)
    listed = f'<ul class="rows">{items}</ul>' if items else '<p class="quiet">None yet.</p>'
    lives = "".join(f'<option value="{days}">{said}</option>' for days, said in TOKEN_LIVES.items())
    return (
        '<section class="card" aria-labelledby="tokens"><h2 id="tokens">Access tokens</h2>'
        '<p class="quiet">For tools that take one key, such as coding agents. A token works until it ends or is revoked'
        f".</p>{listed}"
        f'<form method="post" action="{PagePath.TOKEN}">{field}'
        '<label for="name">Name</label><input id="name" name="name" required maxlength="32" autocomplete="off">'
        f'<label for="days">Lasts</label><select id="days" name="days">{lives}</select>'
        '<button class="main">Create token</button></form></section>'
    )


def _policy(policy: Choice, token: str) -> str:
    modes = "".join(
        f'<label class="choice"><input type="radio" name="mode" value="{value}"'
        f"{' checked' if (policy.mode == 'local') == (value == 'local') else ''}><span><strong>{name}</strong>"
        f'<span class="quiet">{text}</span></span></label>'
        for value, name, text in _MODES
    )
    regions = _options(_REGIONS, policy.region)
    days = policy.max_retention_days
    retentions = _options(_RETENTIONS, "" if days is None else str(days))
    return (
        '<section class="card" aria-labelledby="policy"><h2 id="policy">Where prompts may go</h2>'
        f'<form method="post" action="{PagePath.POLICY}">{hidden("form_token", token)}'
        f"<fieldset><legend>Processing mode</legend>{modes}</fieldset>"
        f'<label for="region">Process in</label><select id="region" name="region">{regions}</select>'
        f'<label for="retention">May be kept</label><select id="retention" name="retention">{retentions}</select>'
        '<p class="quiet">Your plan or organisation may restrict this further; the strictest setting holds.</p>'
        '<button class="main">Save</button></form></section>'
    )


def _options(names: Mapping[str, str], selected: str) -> str:
    return "".join(
        f'<option value="{value}"{" selected" if value == selected else ""}>{name}</option>'
        for value, name in names.items()
    )


def _data(token: str) -> str:
    field = hidden("form_token", token)
    return (
        '<section class="card" aria-labelledby="data"><h2 id="data">Your data</h2>'
        "<p>We keep counts, times and amounts of your requests. Prompts, code and answers are never kept.</p>"
        f'<form method="post" action="{PagePath.EXPORT}" class="choices">{field}'
        '<button name="form" value="json">Export as JSON</button>'
        '<button name="form" value="csv">Export usage as CSV</button></form>'
        "<details><summary>Delete account</summary><p>This ends every session and erases your account and what is left "
        "of its credits. It cannot be undone.</p>"
        f'<form method="post" action="{PagePath.DELETE}">{field}<label for="confirm">Type <strong>delete</strong> to '
        'confirm</label><input id="confirm" name="confirm" required pattern="delete" autocomplete="off">'
        '<button class="danger">Delete account</button></form></details></section>'
    )


def token_made(secret: str, name: str) -> str:
    """The main part of the page that shows a new access token, this once."""
    return (
        '<h1>Access token</h1><section class="card" aria-labelledby="made">'
        f'<h2 id="made">{esc(name)}</h2>'
        '<p role="status">Copy the token now: it is not shown again. Anybody who has it can use your credits.</p>'
        f'<label for="secret">Token</label><textarea id="secret" readonly rows="3">{esc(secret)}</textarea>'
        f'<p><a href="{PagePath.ACCOUNT}#tokens">Back to the account</a></p></section>'
    )
