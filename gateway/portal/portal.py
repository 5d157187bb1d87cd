"""The portal: who is signed in, whether a form is genuine, and which page answers.

Rules:

1. A form is accepted only if its ``Origin`` is the portal's and, for a signed-in person, it has the form token of the
   session. Both are always required.
2. The size of a browser's input is limited before it is read, and the input is only shown escaped.
3. A cookie says who has signed in. Before any page or form is answered, the store is asked whether the account still
   exists.
4. The development sign-in accepts every visitor as the local developer, so it answers only this machine's browser: only
   under a loopback name, so that DNS rebinding does not reach it, and not through a proxy or tunnel, whose other end
   can be anybody.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import orjson
from aiohttp import web

from gateway.accounts.administration import Administration
from gateway.accounts.opening import OpenedAccounts
from gateway.addresses import is_loopback, name_of_host
from gateway.auth.attempts import UserCodeAttempts
from gateway.auth.principal import StoreFailure
from gateway.config import Config
from gateway.errors import MeteringUnavailable, MethodNotAllowed, NotFound, RateLimited
from gateway.http import request as inbound
from gateway.http.fields import first_of
from gateway.http.proxies import address_of
from gateway.inference.services import Shares
from gateway.portal import account, cookies, device, page, sign_in
from gateway.portal.cookies import PortalSession
from gateway.portal.page import esc
from gateway.portal.paths import PagePath
from gateway.portal.supabase import Verifier
from metering.accounts.living import lives
from metering.ledger.ledger import LedgerConflict, LedgerUnavailable
from metering.spool.spool import Spool
from metering.store.store import Unconfirmed

MOST_FORM = 32_768  # bytes: an access token is the longest thing that is posted
MOST_FIELDS = 16
_THIS_MACHINE = (
    "Without a sign-in service this portal is for the browser of the machine that it runs on, and this request came "
    "through a proxy or a tunnel. Configure [supabase] to let people in."
)


@dataclass(frozen=True, slots=True)
class Visit:
    """One request: ``fields`` are those of the form, or of the query of a GET."""

    request: web.BaseRequest
    path: PagePath
    fields: Mapping[str, str]
    session: PortalSession | None
    origin: str


class Portal:
    """Built once a worker, with the first request for a page."""

    def __init__(
        self,
        opened: OpenedAccounts[Spool],
        administration: Administration,
        shares: Shares,
        config: Config,
        verifier: Verifier | None,
    ) -> None:
        self.opened = opened
        self.accounts = opened.accounts
        self.administration = administration
        self.config = config
        self._shares = shares
        self.verifier = verifier
        self.attempts = UserCodeAttempts(opened.store.client, opened.key)
        self.secure = config.server.over_tls

    @property
    def key(self) -> bytes:
        return self.opened.key

    async def answer(self, request: web.BaseRequest, rid: str) -> web.StreamResponse:
        """Answer one request for a page.

        Raises:
            RequestTooLarge, RequestTimeout, InvalidRequest, UnsupportedEncoding: By the body or the query.
            MethodNotAllowed, NotFound: By the method and the host.
        """
        path, _, query = request.raw_path.partition("?")
        response = await self._answer(request, PagePath(path), query)
        response.headers["x-request-id"] = rid
        return response

    async def _answer(self, request: web.BaseRequest, path: PagePath, query: str) -> web.StreamResponse:
        host = request.headers.get("Host", "")
        if self.verifier is None and not is_loopback(name_of_host(host)):
            raise NotFound
        if self.verifier is None and inbound.came_through_a_proxy(request):
            elsewhere = Visit(request, path, {}, None, self.config.own_address(host))
            return self.fault(elsewhere, 403, "Not accepted", _THIS_MACHINE)
        if request.method == "GET":
            fields: Mapping[str, str] = first_of(query, MOST_FIELDS)
        elif request.method == "POST":
            fields = await self._body(request)
        else:
            raise MethodNotAllowed("GET, POST")
        visit = Visit(request, path, fields, None, self.config.own_address(host))
        try:
            visit = replace(visit, session=await self._session(request))
            return await (self._post(visit) if request.method == "POST" else self._get(visit))
        except LedgerConflict:  # erased since the question in `_session`
            return sign_in.end(self)
        except (StoreFailure, OSError, LedgerUnavailable, Unconfirmed, MeteringUnavailable):
            return self.fault(visit, 503, "Not available", "The service is not available right now. Please try again.")
        except RateLimited as error:
            response = self.fault(visit, 429, "Too many attempts", "Please wait a minute, then try again.")
            response.headers["Retry-After"] = str(math.ceil(error.retry_after or 60))
            return response

    async def _session(self, request: web.BaseRequest) -> PortalSession | None:
        """Who is signed in, if the account lives. The one place at which a cookie is read, for every page and form."""
        session = cookies.open_session(self.key, request.cookies.get(self.cookie(cookies.SESSION_COOKIE), ""))
        if session is None or not await lives(self.opened.store.client, session.pid):
            return None
        return session

    async def _get(self, visit: Visit) -> web.Response:
        match visit.path:
            case PagePath.SIGN_IN:
                return sign_in.begin(self, visit)
            case PagePath.CALLBACK:
                return sign_in.callback(self)
        if visit.path not in (PagePath.DEVICE, PagePath.ACCOUNT):
            raise MethodNotAllowed("POST")
        if visit.session is None:
            return sign_in.ask(self, visit)
        show = device.show if visit.path is PagePath.DEVICE else account.show
        return await show(self, visit, visit.session)

    async def _post(self, visit: Visit) -> web.Response:
        if visit.request.headers.get("Origin") != visit.origin:
            return self._foreign(visit)
        match visit.path:
            case PagePath.SESSION:
                return await sign_in.finish(self, visit)
            case PagePath.DEVELOPMENT:
                return await sign_in.finish_development(self, visit)
        if visit.session is None:
            return sign_in.ask(self, visit, status=401)
        if not cookies.form_token_fits(self.key, visit.session, visit.fields.get("form_token", "")):
            return self._foreign(visit)
        if visit.path is PagePath.SIGN_OUT:
            return sign_in.end(self)
        if visit.path is PagePath.DEVICE:
            return await device.decide(self, visit, visit.session)
        act = account.ACTS.get(visit.path)
        if act is None:
            raise MethodNotAllowed("GET")
        return await act(self, visit, visit.session)

    def _foreign(self, visit: Visit) -> web.Response:
        text = "This form did not come from this page, or the page was too old. Go back, reload and try again."
        return self.fault(visit, 403, "Not accepted", text)

    async def _body(self, request: web.BaseRequest) -> Mapping[str, str]:
        shares = self._shares
        with shares.bodies.hold(address_of(request, self.config.server)) as share:
            body = await inbound.read_body(request, MOST_FORM, share, inbound.FORM_SECONDS, shares.slices)
        if request.content_type == "application/json":
            try:
                found = orjson.loads(body)
            except orjson.JSONDecodeError:
                return {}
            return {k: v for k, v in found.items() if isinstance(v, str)} if isinstance(found, dict) else {}
        return first_of(body.decode("utf-8", "replace"), MOST_FIELDS)

    # What the pages' handlers share

    def html(self, session: PortalSession | None, title: str, main: str, status: int = 200) -> web.Response:
        token = cookies.form_token(self.key, session) if session is not None else ""
        return page.html(page.page(title, main, development=self.verifier is None, form_token=token), status)

    def fault(self, visit: Visit, status: int, title: str, text: str) -> web.Response:
        main = (
            f'<section class="card narrow" role="alert"><h1>{esc(title)}</h1><p>{esc(text)}</p>'
            f'<p><a href="{PagePath.ACCOUNT}">Go to the account</a></p></section>'
        )
        return self.html(visit.session, title, main, status)

    def cookie(self, name: str) -> str:
        return f"__Host-{name}" if self.secure else name

    def set_cookie(self, response: web.Response, name: str, value: str, seconds: int) -> None:
        """Set, or with 0 seconds delete, a cookie of the portal."""
        response.set_cookie(
            self.cookie(name), value, max_age=seconds, path="/", httponly=True, secure=self.secure, samesite="Lax"
        )
