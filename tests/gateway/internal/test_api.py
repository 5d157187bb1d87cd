"""The internal API over a real socket and a real store; each answer is checked against the document that it serves."""

from __future__ import annotations

import itertools
import json
from urllib.parse import quote

import msgspec
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from gateway.auth import sessions
from gateway.auth.switches import Switchable
from gateway.config import ConfigError
from gateway.config.changes import Reloaded
from gateway.config.internal import ServiceScope, ServiceToken
from gateway.internal.api import ServiceApi, _fault
from gateway.internal.operations import OPERATIONS, Served
from gateway.telemetry.log import Log
from metering import keys
from metering.accounts.audit import read_audit
from metering.ledger.ledger import LedgerUnavailable
from metering.reading.positions import positions
from tests.gateway.billing_fixtures import KEY, USER, accounts, admin, erased, record
from tests.gateway.internal.json_schema import faults
from tests.ledger_fixtures import embedded_url, folder, ledger, store, store_url

__all__ = ["accounts", "admin", "embedded_url", "erased", "folder", "ledger", "store", "store_url"]

ALL = "all-of-it-" + "a" * 32
READER = "reader-of-usage-" + "b" * 32
PATH = "/internal/accounts/ann%40example.com"
WANT = {"version": 1, "tier": "pro", "models": ["model-a"]}
PIDS = [next(p for p in (f"p{i}" for i in itertools.count()) if keys.partition(p) == k) for k in (0, 9, 255)]


async def served():
    return Served(
        frozenset({"default", "free", "pro"}),
        frozenset({"a", "b", "model-a"}),
        frozenset({"acme", "mistral"}),
        frozenset({(Switchable.PROVIDER, "openai"), (Switchable.MODEL, "a/b"), (Switchable.KEY, "openai:2")}),
    )


class Opened:
    """Stands in for `OnDemand`: the store is open already."""

    def __init__(self, admin):
        self.admin = admin

    async def get(self):
        return self.admin


class Caller:
    """Calls the API, and holds each answer against its description."""

    def __init__(self, client, document):
        self.client = client
        self.document = document
        self.seen = set()

    async def __call__(self, method, path, body=None, *, token=ALL, raw=None, **headers):
        sent = {"authorization": f"Bearer {token}", **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = raw if raw is not None else None if body is None else json.dumps(body)
        answer = await self.client.request(method, URL(path, encoded=True), data=data, headers=sent)
        text = await answer.text()
        template = self._template(path.partition("?")[0])
        if template is not None:
            described = self.document["paths"][template][method.lower()]["responses"][str(answer.status)]["content"]
            kind = answer.headers["content-type"].split(";")[0]
            if kind != "text/csv":
                assert faults(json.loads(text), described[kind]["schema"], self.document) == []
            self.seen.add((method, template, answer.status))
        return answer.status, text if "csv" in answer.headers["content-type"] else json.loads(text), answer.headers

    def _template(self, path):
        parts = path.split("/")
        for template in self.document["paths"]:
            wanted = template.split("/")
            if len(wanted) == len(parts) and all(
                w.startswith("{") or w == p for w, p in zip(wanted, parts, strict=True)
            ):
                return template
        return None


async def reload(actor):
    """What the API is given: it reloads nothing."""
    assert actor == "billing"
    if reload.faults:
        raise ConfigError(reload.faults)
    return Reloaded(("models.a",), ("server.port",), 2)


reload.faults = ()


@pytest.fixture
async def call(admin, tmp_path):
    tokens = (
        ServiceToken("billing", ALL, frozenset(ServiceScope)),
        ServiceToken("reader", READER, frozenset({ServiceScope.USAGE_READ})),
    )
    application = web.Application()
    ServiceApi(tokens, Opened(admin), Log("debug", tmp_path / "log"), served, reload).add_to(application)
    async with TestClient(TestServer(application)) as client:
        document = await (await client.get("/internal/openapi.json")).json()
        yield Caller(client, document)


async def test_the_document_describes_every_operation_and_its_scope(call):
    document = call.document
    assert document["openapi"].startswith("3.1.")
    described = {
        (method.upper(), path, one["security"][0]["service"][0])
        for path, methods in document["paths"].items()
        for method, one in methods.items()
    }
    assert described == {(one.method, one.path, one.scope.value) for one in OPERATIONS}
    assert {one.scope for one in OPERATIONS} == set(ServiceScope) - {
        ServiceScope.TOKENS_INTROSPECT
    }  # RFC 7662 describes it
    names = [one["operationId"] for methods in document["paths"].values() for one in methods.values()]
    assert len(names) == len(set(names))


async def test_only_a_known_token_with_the_scope_is_let_in(call):
    for token in ("", "wrong", ALL[:-1], ALL + "x", "\u00e9" * 40):
        status, body, headers = await call("GET", PATH, token=token)
        assert (status, body["code"]) == (401, "token_invalid")
        assert headers["www-authenticate"].startswith("Bearer")
    status, body, headers = await call("PUT", PATH, WANT, token=READER)
    assert (status, body["code"]) == (403, "insufficient_scope")
    assert 'scope="accounts:write"' in headers["www-authenticate"]
    assert (await call("GET", "/internal/usage", token=READER))[0] == 200


async def test_a_refused_caller_s_body_is_not_read(call):
    status, _, _ = await call("PUT", PATH, raw="{", token="wrong")
    assert status == 401


async def test_an_account_from_its_entitlements_to_its_erasure(call, store, ledger, admin):
    assert (await call("GET", PATH))[0] == 404

    status, body, _ = await call("PUT", PATH, WANT)
    assert status == 200
    assert body["entitlements"]["tier"] == body["account"]["tier"] == "pro"
    pid = body["account"]["pid"]
    assert (await call("PUT", PATH, WANT))[0] == 200  # the same again is the same
    assert (await call("PUT", PATH, {**WANT, "tier": "free"}))[1]["code"] == "conflict"
    assert (await call("PUT", PATH, {**WANT, "version": 3}))[0] == 200
    assert (await call("PUT", PATH, {**WANT, "version": 2}))[0] == 409

    for _ in range(2):
        status, body, _ = await call("POST", f"{PATH}/grants", {"amount": 500}, Idempotency_Key="invoice 7")
        assert (status, body["granted"]) == (200, 500)
    assert (await call("POST", f"{PATH}/grants", {"amount": 501}, Idempotency_Key="invoice 7"))[0] == 409
    assert (await call("POST", f"{PATH}/grants", {"amount": 500}))[1]["param"] == "Idempotency-Key"

    await ledger.settle([record("r1", pid, charge=40, in_uncached=8)])
    status, body, _ = await call("GET", PATH)
    assert (body["account"]["spent"], body["account"]["available"]) == (40, 460)

    status, body, _ = await call("POST", f"{PATH}/records/r1/corrections", {"charge": 30, "in_uncached": 6})
    assert (status, body["rev"], body["charge"], body["in_uncached"], body["cost"]) == (200, 2, 30, 6, 40)
    status, problem, _ = await call("POST", f"{PATH}/records/r1/corrections", {"charge": 31, "rev": 1})
    assert (status, problem["code"], problem["rev"]) == (409, "conflict", 2)
    assert (await call("POST", f"{PATH}/records/r1/corrections", {"rev": 2}))[0] == 400  # nothing to correct
    assert (await call("POST", f"{PATH}/records/r9/corrections", {"charge": 1}))[0] == 404
    assert (await call("POST", f"{PATH}/records/r{{1}}/corrections", {"charge": 1}))[0] == 404
    assert (await call("POST", f"{PATH}/records/r1/corrections", {}))[0] == 400

    assert (await call("PUT", f"{PATH}/restriction", {"restricted": True}))[1]["restricted"] is True
    assert (await call("PUT", f"{PATH}/restriction", {"restricted": False}))[1]["restricted"] is False
    chosen = {"mode": "cloud", "region": "eu", "max_retention_days": 30}
    assert (await call("PUT", f"{PATH}/choice", chosen))[:2] == (200, chosen)
    status, body, _ = await call("PUT", f"{PATH}/choice", {"region": "global"})
    assert (status, body["param"]) == (400, "region")
    assert (await call("PUT", f"{PATH}/stripe", {"customer": "cus_1"}))[0] == 200
    assert (await call("PUT", f"{PATH}/stripe", {"customer": "ann"}))[0] == 400

    status, body, _ = await call("GET", f"{PATH}/export")
    assert [one["charge"] for one in body["records"]] == [30]
    assert body["choice"] == chosen
    status, text, _ = await call("GET", f"{PATH}/export?format=csv")
    assert text.startswith("section,number,field,value")
    assert (await call("GET", f"{PATH}/export?format=xml"))[0] == 400

    await sessions.create(store.client, KEY, pid=pid, tier="pro")
    status, body, _ = await call("DELETE", PATH)
    assert (status, body) == (200, {"pid": pid, "deleted": 2, "waiting": 0})
    assert (await call("DELETE", PATH))[0] == 404
    assert (await call("GET", f"{PATH}/export"))[0] == 404
    assert (await call("PUT", f"{PATH}/restriction", {"restricted": True}))[0] == 404

    noted = [(entry.actor, entry.action) async for entry in read_audit(store)]
    assert {actor for actor, _ in noted} == {"billing"}
    assert {action for _, action in noted} == {
        "tier_set", "granted", "looked_up", "corrected", "restricted", "unrestricted", "customer_set", "chosen", "exported",
        "revoked", "erased",
    }  # fmt: skip
    assert {(m, p) for m, p, s in call.seen if s == 200} == {
        (one.method, one.path) for one in OPERATIONS if "accounts" in one.path
    }


async def test_providers_models_and_keys_are_switched_off_and_on(call):
    assert (await call("GET", "/internal/switches"))[1] == {"off": []}
    for path in ("provider/openai", "model/a%2Fb", "key/openai:2"):
        status, body, _ = await call("PUT", f"/internal/switches/{path}", {"off": True})
        assert status == 200
    assert [(one["what"], one["name"]) for one in body["off"]] == [
        ("provider", "openai"),
        ("model", "a/b"),
        ("key", "openai:2"),
    ]
    assert (await call("PUT", "/internal/switches/provider/openai", {"off": False}))[1]["off"] == body["off"][1:]
    assert (await call("PUT", "/internal/switches/provider/gone", {"off": False}))[0] == 200
    for path in ("provider/none", "model/openai", "key/openai:3", "tool/x"):
        assert (await call("PUT", f"/internal/switches/{path}", {"off": True}))[:2][0] == 404
    assert (await call("GET", "/internal/switches", token=READER))[0] == 403


async def test_the_configuration_is_reloaded_or_its_faults_are_told(call, monkeypatch):
    status, body, _ = await call("POST", "/internal/reload")
    assert (status, body) == (200, {"changed": ["models.a"], "needs_restart": ["server.port"], "workers": 2})
    monkeypatch.setattr(
        reload, "faults", ("server.port: is out of range; write a number", "x: is not a key; remove it")
    )
    status, body, _ = await call("POST", "/internal/reload")
    assert (status, body["code"]) == (409, "conflict")
    assert all(fault in body["detail"] for fault in reload.faults)
    assert (await call("POST", "/internal/reload", token=READER))[0] == 403


async def test_an_organisation_is_stated_and_read_by_its_own_name(call):
    path = "/internal/organisations/acme%2Femea"
    assert (await call("GET", path))[1]["version"] == 0
    status, body, _ = await call("PUT", path, {"version": 4, "models": ["b", "a"], "mode": "local"})
    assert (status, body["version"], body["models"], body["mode"]) == (200, 4, ["a", "b"], "local")
    assert (await call("GET", path))[1] == body
    assert (await call("PUT", path, {"version": 3}))[1]["code"] == "conflict"
    assert (await call("PUT", path, {"version": 5, "org": "other"}))[0] == 400  # it belongs to none
    assert (await call("PUT", path, {"version": 5, "region": "E U"}))[0] == 400
    for days in (-1, 36_501, "30", 1.5):
        assert (await call("PUT", path, {"version": 5, "max_retention_days": days}))[0] == 400
    assert (await call("PUT", path, {"version": 5, "max_retention_days": 0}))[1]["max_retention_days"] == 0
    assert (await call("PUT", path, {"version": 6}))[1]["max_retention_days"] is None
    allowing = {"version": 7, "fallback_companies": ["mistral", "acme"]}
    assert (await call("PUT", path, allowing))[1]["fallback_companies"] == ["acme", "mistral"]
    assert (await call("PUT", path, {"version": 8, "fallback_companies": []}))[1]["fallback_companies"] == []
    assert (await call("PUT", path, {"version": 9}))[1]["fallback_companies"] is None
    assert (await call("PUT", path, {"version": 5, "region": "EU"}))[0] == 400  # a label, and no region's form
    assert (await call("GET", path, token=READER))[0] == 403
    for name in ("a%20b", "%C3%BC", "x" * 65, "a%0A"):
        assert (await call("GET", f"/internal/organisations/{name}"))[1]["param"] == "org"


async def test_usage_is_paged_booked_and_comes_once(call, store, ledger, monkeypatch):
    monkeypatch.setattr("metering.reading.reader.HORIZON_MS", -1000)
    await ledger.settle([record(f"r{number}", PIDS[number % 3], charge=number) for number in range(7)])
    await ledger.settle([record("r3", PIDS[0], rev=2, charge=30)])
    after, seen = "", []
    while True:
        _, page, _ = await call("GET", f"/internal/usage?limit=3&after={after}")
        if not page["records"]:
            break
        seen += page["records"]
        after = page["after"]
    assert sorted(one["rid"] for one in seen) == sorted(f"r{number}" for number in range(7))
    assert [one["charge"] for one in seen if one["rid"] == "r3"] == [30]
    assert len(page["epoch"]) == 16

    places = await positions(store, range(keys.PARTITIONS))
    assert {place.group for place in places} == {"billing"}
    assert max(place.booked for place in places) == (0, 0)  # read is not booked
    assert (await call("POST", "/internal/usage/ack", {"after": after}))[1] == {"after": after}
    places = await positions(store, range(keys.PARTITIONS))
    assert max(place.booked for place in places) > (0, 0)
    assert (await call("POST", "/internal/usage/ack", {"after": ""}))[0] == 200  # back changes nothing
    assert await positions(store, range(keys.PARTITIONS)) == places

    milliseconds = int(after.partition("-")[0])
    for beyond in (f"{milliseconds + 1}", f"{milliseconds + 1}-0-0", "9999999999999999"):
        status, problem, _ = await call("POST", "/internal/usage/ack", {"after": beyond})
        assert (status, problem["code"], problem["param"]) == (400, "invalid_request", "after")
    assert await positions(store, range(keys.PARTITIONS)) == places


async def test_a_place_that_nobody_was_given_cannot_be_booked(call, store, ledger, monkeypatch):
    monkeypatch.setattr("metering.reading.reader.HORIZON_MS", -1000)
    await ledger.settle([record(f"r{number}", PIDS[number], charge=number) for number in range(3)])
    ack = "/internal/usage/ack"
    assert (await call("POST", ack, {"after": "1"}))[0] == 400  # nothing was ever read
    assert (await call("POST", ack, {"after": ""}))[0] == 200
    first = (await call("GET", "/internal/usage?limit=1"))[1]
    rest = (await call("GET", f"/internal/usage?after={first['after']}"))[1]
    assert len(rest["records"]) == 2
    future = (await call("GET", "/internal/usage?after=9999999999999999"))[1]
    assert (await call("POST", ack, {"after": future["after"]}))[0] == 400  # it gave nothing
    assert (await call("POST", ack, {"after": rest["after"]}))[0] == 200


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=x", "after=x", "after=1-2", "after=-1"])
async def test_a_bad_page_is_refused(call, query):
    assert (await call("GET", f"/internal/usage?{query}"))[1]["code"] == "invalid_request"


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        ("", None, "is not JSON"),
        ("{", None, "is not JSON"),
        ("[]", None, "The body does not match"),
        ("{}", "version", "A member is missing"),
        ('{"version": 0}', "version", "This member does not match"),
        ('{"version": "1"}', "version", "This member does not match"),
        ('{"version": 1.5}', "version", "This member does not match"),
        ('{"version": 1, "more": 2}', None, "an unknown member"),
        ('{"version": 1, "mode": "secret"}', "mode", "This member does not match"),
        ('{"version": 1, "tier": "secret word"}', "tier", "This member does not match"),
        ('{"version": 1, "min_app": {"secret": 3}}', "min_app[...]", "This member does not match"),
        ('{"version": 1, "min_app": {"secret word": "1"}}', "min_app", "This member does not match"),
        ('{"version": 1, "min_app": {"mac": "secret"}}', "min_app", "wrong form"),
        ('{"version": 1, "models": ["a", 3]}', "models[1]", "This member does not match"),
        ('{"version": 1, "tier": "gold"}', "tier", "configuration has no such plan"),
        ('{"version": 1, "models": ["a", "secret"]}', "models[1]", "does not serve this model"),
        (
            '{"version": 1, "fallback_companies": ["acme", "secret"]}',
            "fallback_companies[1]",
            "belongs to this company",
        ),
        ('{"version": 1, "max_retention_days": -1}', "max_retention_days", "This member does not match"),
    ],
)
async def test_an_error_names_the_member_and_quotes_nothing(call, body, param, said):
    for path in (PATH, "/internal/organisations/acme"):
        status, problem, _ = await call("PUT", path, raw=body)
        assert (status, problem["code"], problem.get("param")) == (400, "invalid_request", param)
        assert said in problem["detail"]
        assert "secret" not in json.dumps(problem)


@given(
    value=st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats(allow_nan=False, allow_infinity=False)
        | st.just("zebra \u00fc"),
        lambda inner: (
            st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from(["zebra", "tier"]), inner, max_size=2)
        ),
        max_leaves=4,
    ),
    data=st.data(),
)
def test_no_error_of_any_body_quotes_it(value, data):
    operation = data.draw(st.sampled_from([one for one in OPERATIONS if one.body is not None]))
    member = data.draw(st.sampled_from([*operation.body.__struct_fields__, "zebra"]))
    try:
        msgspec.json.decode(json.dumps({member: value}), type=operation.body)
    except msgspec.ValidationError as error:
        fault = _fault(error)
        assert "zebra" not in f"{fault.message} {fault.param}"


async def test_a_store_that_is_away_is_503_and_nothing_of_the_user_is_logged(call, admin, tmp_path, monkeypatch):
    async def away(*_arguments, **_options):
        raise LedgerUnavailable(maybe_ran=True)

    monkeypatch.setattr(admin.ledger.calls, "run", away)
    status, body, headers = await call("POST", f"{PATH}/grants", {"amount": 5}, Idempotency_Key="k")
    assert (status, body["code"]) == (503, "metering_unavailable")
    assert headers["retry-after"]
    log = (tmp_path / "log").read_text()
    assert "store_fault" in log
    assert USER.split("@")[0] not in log


@pytest.mark.parametrize("user", ["a/b", "{x}", "a b", "\u00fc", "a%2Fb", "x" * 512])
async def test_any_printable_id_is_a_user(call, admin, user):
    status, body, _ = await call("PUT", f"/internal/accounts/{quote(user, safe='')}", WANT)
    assert status == 200
    assert body["account"]["pid"] == await admin.accounts.pid_of(user)


@pytest.mark.parametrize("user", ["%00", "a%0Ab", "x" * 513])
async def test_what_is_no_id_is_refused(call, user):
    assert (await call("PUT", f"/internal/accounts/{user}", WANT))[1]["param"] == "user"


async def test_two_services_may_use_the_same_key(call, admin, store):
    await call("POST", f"{PATH}/grants", {"amount": 5}, Idempotency_Key="k")
    account = await admin.grant(USER, 7, "other\0k", actor="other")
    assert account.granted == 12
