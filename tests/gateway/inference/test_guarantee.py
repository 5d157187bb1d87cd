"""Nobody overdraws: whatever an account asks for, however its requests overlap, and at whatever target they end, it is
never charged more than it has.

The provider of this test is the most expensive one that a request can meet: it reads as much as the bound says, uses
each of its tools as often as it may, and produces exactly what the bytes that it was sent allow. Now and then it ignores
the limit, its own or a lowered one, and the client leaves or waits for the end. The ledger is the real one.
"""

import asyncio
import json
import os
import tempfile
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.auth.principal import Mode, Principal
from gateway.catalog.catalog import load
from gateway.config.load import read
from gateway.errors import CreditsExhausted
from gateway.inference import holds
from gateway.inference.admission import admit, read_head
from gateway.inference.answer import Answer, Ending
from gateway.inference.meter import Meter
from metering.learning import Learning
from metering.ledger.ledger import Limits
from metering.store.embedded import Embedded
from metering.store.store import open_store
from metering.usage import Outcome, Report, Usage
from providers.dialect import Family, Operation, Target
from providers.steps import at_once
from providers.wires import WIRES
from tests.ledger_fixtures import RaisingLedger

EXAMPLES = int(os.environ.get("LEDGER_EXAMPLES", "25"))
STATEMENT = {"api_keys": ["k"], "retention_days": 0, "training": False, "region": "global"}
TOOLS = ["openai_web_search", "anthropic_web_search"]
NAMES = {Family.OPENAI: "oai", Family.ANTHROPIC: "ant", Family.GOOGLE: "goo"}
OPERATIONS = (
    Operation.OPENAI_CHAT,
    Operation.OPENAI_RESPONSES,
    Operation.OPENAI_COMPACT,
    Operation.OPENAI_COMPLETIONS,
    Operation.OPENAI_EMBEDDINGS,
    Operation.ANTHROPIC_MESSAGES,
    Operation.GEMINI_GENERATE,
)

RATE = st.integers(0, 6_000).map(lambda cents: Decimal(cents) / 100)
CREDIT = st.integers(0, 40).map(lambda half_doublings: int(2 ** (half_doublings / 2) * 1_000)) | st.integers(
    0, 30_000_000
)
PRICES = st.fixed_dictionaries(
    {"input": RATE, "output": RATE, "searches": st.sampled_from([0, 10_000, 35_000])},
    optional={"cache_write_1h": RATE, "cache_read": RATE, "out_reasoning": RATE, "tool_in": RATE},
)
MODELS = st.fixed_dictionaries(
    {"targets": st.lists(PRICES, min_size=1, max_size=3), "flex": st.sampled_from([Decimal("0.5"), None, 2])},
    optional={"max_output": st.integers(1, 200_000), "context_window": st.integers(1_000, 400_000)},
)
REQUESTS = st.fixed_dictionaries(
    {
        "operation": st.sampled_from(OPERATIONS),
        "text": st.integers(0, 3_000),
        "limit": st.none() | st.integers(0, 20_000) | st.integers(0, 150_000),
        "choices": st.sampled_from([1, 1, 1, 2, 5]),
        "flex": st.booleans(),
        "search": st.none() | st.just(True) | st.integers(0, 5),
        "thinking": st.booleans(),
    }
)
# Start a request, or end the one at this place among those that run: at a target, in a tier, by a host that obeys or not,
# with the client there or not.
OBEYS = st.sampled_from([True, True, True, False])
STEPS = st.lists(
    st.tuples(st.just("start"), REQUESTS)
    | st.tuples(st.just("start"), REQUESTS)
    | st.tuples(st.just("end"), st.tuples(st.integers(0, 9), st.integers(0, 2), st.booleans(), OBEYS, st.booleans()))
    | st.tuples(st.just("touch"), st.integers(0, 9)),
    min_size=2,
    max_size=20,
)


def body_of(asked):
    operation, limit, choices = asked["operation"], asked["limit"], asked["choices"]
    text = "word " * (asked["text"] // 5)
    tier = {"service_tier": "flex"} if asked["flex"] else {}
    search = None if asked["search"] is None else {"type": "web_search"}
    most = asked["search"] if isinstance(asked["search"], int) and asked["search"] is not True else None
    match operation:
        case Operation.OPENAI_CHAT:
            body = {"model": "oai", "messages": [{"role": "user", "content": text}], "n": choices, **tier}
            return body | ({} if limit is None else {"max_completion_tokens": limit})
        case Operation.OPENAI_RESPONSES | Operation.OPENAI_COMPACT:
            body = {"model": "oai", "input": text, **tier}
            if operation is Operation.OPENAI_COMPACT:
                return body
            body |= {} if search is None else {"tools": [search]} | ({} if most is None else {"max_tool_calls": most})
            return body | ({} if limit is None else {"max_output_tokens": limit})
        case Operation.OPENAI_COMPLETIONS:
            body = {"model": "oai", "prompt": [text] * choices}
            return body | ({} if limit is None else {"max_tokens": limit})
        case Operation.OPENAI_EMBEDDINGS:
            return {"model": "oai", "input": text}
        case Operation.ANTHROPIC_MESSAGES:
            limit = 4_000 if limit is None else limit
            body = {"model": "ant", "max_tokens": limit, "messages": [{"role": "user", "content": text}]}
            if asked["thinking"] and limit > 1_024:
                body["thinking"] = {"type": "enabled", "budget_tokens": (1_024 + limit) // 2}
            if search is not None:
                tool = {"type": "web_search_20250305", "name": "web_search"} | (
                    {} if most is None else {"max_uses": most}
                )
                body["tools"] = [tool]
            return body
        case _:
            config = {"candidateCount": choices} | ({} if limit is None else {"maxOutputTokens": limit})
            return {"contents": [{"role": "user", "parts": [{"text": text}]}], "generationConfig": config}


def config_of(models, billing):
    providers = {
        f"{family.value}{number}": {"kind": family.value, "company": family.value, **STATEMENT}
        for family in NAMES
        for number in range(3)
    }
    entries = []
    for family, model in zip(NAMES, models, strict=True):
        variants = {} if model["flex"] is None else {"variants": {"flex": model["flex"]}}
        targets = [
            {"provider": f"{family.value}{number}", "model": f"m{number}", "price": prices | variants}
            for number, prices in enumerate(model["targets"])
        ]
        limits = {name: model[name] for name in ("max_output", "context_window") if name in model}
        entries.append({"name": NAMES[family], "targets": targets, **limits})
    table = {"providers": providers, "models": entries, "policy": {"server_tools": TOOLS}, "billing": billing}
    return read(table, Path("gateway.toml"), {})


@pytest.fixture(scope="module")
def folder():
    with tempfile.TemporaryDirectory(prefix="cgx-guarantee-") as name:
        user = asyncio.run(Embedded.attach(Path(name)))
        yield Path(name)
        asyncio.run(user.detach())


class Account:
    """An account with ``granted`` micro-credits, and the requests that it runs."""

    def __init__(self, ledger, catalog, config, granted):
        self.ledger, self.catalog, self.config, self.granted = ledger, catalog, config, granted
        self.running = []
        self.records = []
        self.count = 0
        self.books = SimpleNamespace(
            ledger=ledger,
            abort=config.billing.abort,
            learning=Learning(),
            spool=SimpleNamespace(full=False, intent=self._intent),
            limits=SimpleNamespace(of=lambda _tiers: Limits()),
            leases=SimpleNamespace(begin=lambda *_: None, end=lambda *_: None),
            settler=SimpleNamespace(void=None, submit=self.records.append),
        )
        self.instruments = SimpleNamespace(
            reserve=SimpleNamespace(observe=lambda _seconds: None),
            limits_ignored=SimpleNamespace(inc=lambda _provider: None),
        )

    async def _intent(self, *_, **_hints):
        pass

    async def start(self, asked):
        """Admit and reserve; the meter, or the refusal."""
        wire, principal = WIRES[asked["operation"]], Principal("s", "pguarantee", "default", Mode.CLOUD, 2**53)
        body = json.dumps(body_of(asked)).encode()
        path_model = "goo" if wire.operation.family is Family.GOOGLE else None
        head = at_once(read_head(wire, body, path_model, self.config.policy))
        admitted = admit(
            wire, head, (), catalog=self.catalog, config=self.config, principal=principal,
            learning=self.books.learning,
        )  # fmt: skip
        self.count += 1
        meter = Meter(
            self.books, self.instruments, self.catalog, rid=f"r{self.count}", principal=principal, admissions=[admitted]
        )
        request = SimpleNamespace(progress=lambda: (admitted.targets[0], 0), at_output=lambda *_: None)
        if (refused := await self._refusal(meter, request)) is not None:
            account = await self.ledger.account("pguarantee")
            balance = account.granted - account.spent
            assert refused.needed == admitted.least
            assert refused.should_retry == (balance >= admitted.least)
            assert self.running or balance < admitted.least  # alone, all that its credit pays for is served
            return
        self.running.append((wire, body, path_model, admitted, meter))

    async def _refusal(self, meter, request):
        try:
            await meter.reserve(request, None)
        except CreditsExhausted as refused:
            return refused
        return None

    async def end(self, place, target, standard, obeys, waits):
        wire, body, path_model, admitted, meter = self.running.pop(place % len(self.running))
        target = admitted.targets[target % len(admitted.targets)]
        sent = at_once(wire.splice(body, admitted.head, Target(target.model, output_limit=meter.output_limit)))
        limit = at_once(wire.read(sent, path_model)).output_limit
        if meter.output_limit is not None:
            assert limit == meter.output_limit >= min(admitted.head.least_output, admitted.most_output)
        longest = admitted.model.max_output or admitted.model.context_window or holds.UNKNOWN_OUTPUT
        if wire.operation is Operation.OPENAI_COMPACT:
            longest = admitted.most_output
        output = min(longest if limit is None else limit, admitted.model.max_output or 10**9)
        if not obeys:
            output = 10 * longest
        usage = dearest(target, admitted, output * admitted.head.choices)
        variant = None if standard else admitted.head.variant
        answer = Answer(Ending.WHOLE, 200, written=True, begun=True, report=Report(usage, variant))
        account = await self.ledger.account("pguarantee")
        alone = not self.running
        meter.decide(answer, Outcome.CLIENT_ABORT, target)
        if waits:
            await meter.cover()
        record = meter.record
        meter.settle()
        assert record is self.records.pop()
        if obeys or not waits or meter.output_limit is not None:
            assert record.charge <= meter.reserved.most
        elif alone:  # what it costs, as long as there is credit
            assert record.charge == min(record.cost, account.granted - account.spent)
        await self.ledger.settle([record])
        assert (await self.ledger.account("pguarantee")).spent <= self.granted


def dearest(target, admitted, output):
    """The most expensive way to count the bound of the input, this output, and all calls that are allowed."""
    usage = Usage().settled()
    rates = target.price.standard
    text = ("in_uncached", "cache_read", "cache_write_1h", "tool_in")
    of_input = rates.at(admitted.input_bound)
    best = max(text, key=lambda name: of_input[list(Usage.__struct_fields__).index(name)] or 0)
    setattr(usage, best, admitted.input_bound)
    best = max(
        ("out_visible", "out_reasoning"), key=lambda name: of_input[list(Usage.__struct_fields__).index(name)] or 0
    )
    setattr(usage, best, output)
    if admitted.head.server_tools:
        usage.searches = holds.MOST_CALLS if admitted.head.most_calls is None else admitted.head.most_calls
    return usage


@given(
    models=st.tuples(MODELS, MODELS, MODELS),
    billing=st.fixed_dictionaries({}, optional={"hold": st.just("worst"), "short": st.just("refuse")}),
    credit=CREDIT,
    steps=STEPS,
)
@settings(
    max_examples=EXAMPLES * 4,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture, HealthCheck.data_too_large],
)
def test_no_account_is_charged_more_than_it_has(folder, models, billing, credit, steps):
    config = config_of(models, billing)

    async def run():
        store = await open_store("embedded:", data_dir=folder)
        ledger = RaisingLedger(store, timeout=10)
        await ledger.load()
        try:
            await store.client.flushall()
            await ledger.grant("pguarantee", credit, "g")
            account = Account(ledger, load(config), config, credit)
            for step, what in steps:
                if step == "start":
                    if not (what["flex"] and models[0]["flex"] is None):
                        await account.start(what)
                elif account.running and step == "end":
                    await account.end(*what)
                elif account.running:
                    meter = account.running[what % len(account.running)][-1]
                    (standing,) = await ledger.touch_each([meter.touch()])
                    meter.granted(standing)
            while account.running:
                await account.end(0, 0, False, True, True)
            assert (await ledger.account("pguarantee")).held == 0
        finally:
            await ledger.close()
            await store.close()

    asyncio.run(run())
