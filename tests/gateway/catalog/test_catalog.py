from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from math import ceil
from pathlib import Path

import msgspec
import pytest
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot

from gateway.catalog import catalog, published
from gateway.catalog.catalog import Catalog
from gateway.catalog.compile import PRICE_KEYS, compile_list
from gateway.catalog.naming import reasons
from gateway.catalog.published import Match, PublishedList, PublishedModel
from gateway.config import Config, ConfigError
from gateway.config.load import read
from metering.pricing import Price, bill, priced, prices_calls
from metering.usage import Geography, ServiceTier, Speed, Usage, Variant
from providers.dialect import Family
from tests.metering.bills import cost

NOW = datetime(2026, 11, 23, tzinfo=UTC)
PROVIDERS = "".join(
    f'[providers.{kind}]\nkind = "{kind}"\napi_keys = "k"\nretention_days = 0\ntraining = false\nregion = "global"\n'
    for kind in Family
)
ELSEWHERE = PROVIDERS.split("[providers.anthropic]", maxsplit=1)[0].replace("providers.openai", "providers.host")
ELSEWHERE += 'base_url = "https://host.example"\n'

Load = Callable[[str], Catalog]


def configured(text: str, folder: Path) -> Config:
    return read(tomllib.loads(text, parse_float=Decimal), folder / "gateway.toml", {})


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder whose data directory holds the compiled list."""
    folder = tmp_path_factory.mktemp("catalog")
    published.prepare(configured(PROVIDERS, folder))
    return folder


@pytest.fixture
def load(folder: Path) -> Load:
    return lambda text: catalog.load(configured(text, folder))


@pytest.fixture(scope="module")
def all_published(folder: Path) -> Catalog:
    return catalog.load(configured(PROVIDERS, folder))


@pytest.fixture(scope="module")
def compiled() -> PublishedList:
    return compile_list(NOW)


def entry(compiled: PublishedList, name: str) -> PublishedModel:
    return next(model for model in compiled.models if model.id == name)


# Published models.


@pytest.mark.parametrize(
    ("asked", "name", "provider"),
    [
        ("gpt-4o", "gpt-4o", "openai"),
        ("gpt-4o-2024-08-06", "gpt-4o", "openai"),
        ("gpt-4.1-mini-2025-04-14", "gpt-4.1-mini", "openai"),
        ("text-embedding-3-small", "text-embedding-3-small", "openai"),
        ("claude-sonnet-4-5", "claude-sonnet-4-5", "anthropic"),
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5", "anthropic"),
        ("claude-3-5-haiku-20241022", "claude-3-5-haiku-latest", "anthropic"),
        ("gemini-2.5-flash", "gemini-2.5-flash", "google"),
        ("gemini-2.5-pro-preview-05-06", "gemini-2.5-pro", "google"),
        ("gemini-embedding-001", "gemini-embedding-001", "google"),
    ],
)
def test_a_dated_name_goes_to_the_provider_and_the_closed_one_into_records(
    all_published: Catalog, asked: str, name: str, provider: str
) -> None:
    model = all_published.resolve(asked)
    assert model is not None
    assert model.name == name
    assert [(target.provider.name, target.model) for target in model.targets] == [(provider, asked)]
    assert model.targets[0].price.version == all_published.price_version == published.list_version()


@pytest.mark.parametrize("asked", ["claude-sonnet-4-5[1m]", "claude-sonnet-4-5[1M]", "claude-sonnet-4-5[200k]"])
def test_a_coding_agents_mark_of_a_larger_context_is_no_part_of_the_name(all_published: Catalog, asked: str) -> None:
    assert all_published.resolve(asked) == all_published.resolve("claude-sonnet-4-5")


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "gpt-9000",
        "[1m]",
        "claude-sonnet-4-5[1m",
        "claude-sonnet-4-5[m]",
        "claude-sonnet-4-5[1m]" + "[1m]" * 10_000,
        "GPT-4o",
        "gpt-4o ",
        "gpt-4o-2024-08-07",
        "whisper-1",
        "tts-1",
        "gpt-realtime",
        "gemini-2.5-pro-preview-tts",
        "ft:gpt-4o-2024-08-06:org::id",
        "models/gemini-2.5-pro",
        "gemini-2.5-pro/../secret",
        "gemini-2.5-pro\n",
        "gemini-2.5-pro?key=1",
        "gemini-2.5-pro" + "x" * 200,
        "gemma-3-27b-it",
    ],
)
def test_an_unknown_or_unpriced_model_is_refused(all_published: Catalog, asked: str) -> None:
    assert all_published.resolve(asked) is None


def test_every_listed_model_resolves_to_itself_and_has_a_price(all_published: Catalog) -> None:
    assert len(all_published.models) > 100
    for model in all_published.models:
        found = all_published.resolve(model.name)
        assert found == model
        assert priced(model.targets[0].price, Variant())


def test_models_of_other_makers_are_not_at_google(load: Load) -> None:
    google = "[providers.google]" + PROVIDERS.split("[providers.google]")[1]
    only = load(google)
    assert {model.targets[0].provider.family for model in only.models} == {Family.GOOGLE}
    assert only.resolve("claude-sonnet-4-5") is None
    assert only.resolve("gpt-4o") is None


def test_two_providers_of_one_kind_are_targets_in_their_order(load: Load) -> None:
    second = PROVIDERS.replace("providers.openai", "providers.spare") + 'base_url = "http://127.0.0.1:1"\n'
    both = load(PROVIDERS + second.split("[providers.anthropic]", maxsplit=1)[0])
    model = both.resolve("gpt-4o")
    assert model is not None
    assert [target.provider.name for target in model.targets] == ["openai", "spare"]


def test_the_price_list_of_makers_does_not_hold_elsewhere(folder: Path) -> None:
    config = configured(PROVIDERS.split("[providers.anthropic]", maxsplit=1)[0] + ELSEWHERE, folder)
    model = catalog.load(config).resolve("gpt-4o")
    assert model is not None
    assert [target.provider.name for target in model.targets] == ["openai"]


def test_parts_of_an_answer_are_found_by_the_providers_own_name(all_published: Catalog) -> None:
    haiku = all_published.resolve("claude-haiku-4-5")
    assert haiku is not None
    at = haiku.targets[0]
    assert all_published.price_of(at, "claude-haiku-4-5-20251001") is at.price
    assert all_published.price_of(at, "claude-nothing") is None
    gpt = all_published.resolve("gpt-4o")
    assert gpt is not None
    assert all_published.price_of(gpt.targets[0], "claude-haiku-4-5") is None
    assert all_published.price_of(gpt.targets[0], "gpt-4o-2024-08-06") is gpt.targets[0].price
    older = all_published.price_of(gpt.targets[0], "gpt-4o-2024-05-13")  # a snapshot with a row of its own
    assert older is not None
    assert older != gpt.targets[0].price
    for number in range(2 * catalog.MOST_NAMES):
        assert all_published.price_of(at, f"claude-nothing-{number}x") is None
        assert all_published.price_of(at, f"claude-haiku-4-5-{10_000_000 + number}") is at.price
    assert len(all_published._prices) <= catalog.MOST_NAMES
    assert not any("nothing" in name for key in all_published._prices for name in key)  # a provider's own text
    assert all_published.price_of(at, "claude-haiku-4-5") is at.price


def test_with_models_the_list_still_says_what_another_model_of_the_maker_costs(
    load: Load, all_published: Catalog
) -> None:
    named = '[[models]]\nname = "fast"\ntargets = [{provider = "anthropic", model = "claude-haiku-4-5"}]\n'
    stated = load(named + PROVIDERS)
    target = stated.models[0].targets[0]
    other, listed = stated.price_of(target, "claude-opus-4-1"), all_published.resolve("claude-opus-4-1")
    assert other is not None
    assert listed is not None
    assert other == listed.targets[0].price
    assert stated.price_of(target, "claude-haiku-4-5") is target.price
    assert stated.price_of(target, "gpt-4o") is None


def test_a_stated_price_is_that_of_the_models_dated_names_too(load: Load) -> None:
    text = '[[models]]\nname = "fast"\ntargets = [{provider = "anthropic", model = "claude-haiku-4-5"}]\n'
    text += "price = {input = 1, output = 2}\n"
    for more in ("", '[[models]]\nname = "other"\ntargets = [{provider = "openai", model = "gpt-4o"}]\n'):
        stated = load(text + more + PROVIDERS)
        target = stated.models[0].targets[0]
        assert stated.price_of(target, "claude-haiku-4-5-20251001") is target.price
        assert (stated.price_of(target, "claude-opus-4-1") is None) is not more
        assert stated.price_of(target, "claude-haiku-4-5-turbo") is None


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("o3", True),
        ("o4-mini-2025-04-16", True),
        ("gpt-5", True),
        ("gpt-5.1-codex", True),
        ("codex-mini-latest", True),
        ("gpt-10", True),
        ("gpt-4o", False),
        ("gpt-4.1", False),
        ("gpt-5-chat-latest", False),
        ("gpt-5-search-api", False),
        ("o3-deep-research", True),
        ("o100", False),
        ("chatgpt-4o-latest", False),
    ],
)
def test_which_models_keep_reasoning_items(model: str, expected: bool) -> None:
    assert reasons(Family.OPENAI, model) is expected
    assert not reasons(Family.ANTHROPIC, model)


def test_reasoning_follows_the_name_that_was_asked_for(all_published: Catalog) -> None:
    plain, chat = all_published.resolve("gpt-5"), all_published.resolve("gpt-5-chat-latest")
    assert plain is not None
    assert chat is not None
    assert plain.name == chat.name
    assert plain.targets[0].reasons
    assert not chat.targets[0].reasons


# The compiled list against genai-prices' own arithmetic.

CONTEXTS: list[tuple[Variant, dict[str, dict[str, str]]]] = [
    (Variant(), {}),
    (Variant(tier=ServiceTier.PRIORITY), {kind: {"service_tier": "priority"} for kind in Family}),
    (Variant(tier=ServiceTier.FLEX), {kind: {"service_tier": "flex"} for kind in Family}),
    (Variant(tier=ServiceTier.BATCH), {kind: {"processing": "batch"} for kind in Family}),
    (Variant(speed=Speed.FAST), {"openai": {"service_tier": "fast"}, "anthropic": {"speed": "fast"}}),
]
# A key of genai-prices -> what a request counts under it.
COUNTED: dict[str, dict[str, int]] = {
    "input_mtok": {"in_uncached": 101},
    "output_mtok": {"out_visible": 103},
    "cache_read_mtok": {"cache_read": 107},
    "cache_write_mtok": {"cache_write_5m": 109, "cache_write_other": 3},
    "cache_write_5m_mtok": {"cache_write_5m": 113},
    "cache_write_1h_mtok": {"cache_write_1h": 127},
    "cache_audio_read_mtok": {"cache_read": 131, "cache_read_audio": 131},
    "input_tool_mtok": {"tool_in": 137},
    "input_audio_mtok": {"audio_in": 139},
    "input_image_mtok": {"image_in": 149},
    "input_video_mtok": {"in_uncached": 151, "video_in": 151},
    "output_reasoning_mtok": {"out_reasoning": 157},
    "output_audio_mtok": {"audio_out": 163},
    "output_image_mtok": {"image_out": 167},
    "web_searches_kcount": {"searches": 5},
    "storage_searches_kcount": {"searches": 7, "file_searches": 7},
    "code_executions_kcount": {"code_runs": 11},
}


CALLS = ("searches", "preview_searches", "file_searches", "map_searches", "fetches", "code_runs")


def theirs(usage: Usage) -> types.Usage:
    """The same request in genai-prices' counts, which hold one another."""
    settled = usage.settled()
    of = {name: getattr(settled, name) for name in usage.__struct_fields__}
    web = of["searches"] - of["preview_searches"] - of["file_searches"] - of["map_searches"]
    found = {
        "input_tokens": settled.input_tokens,
        "output_tokens": settled.output_tokens,
        "cache_read_tokens": of["cache_read"],
        "cache_audio_read_tokens": of["cache_read_audio"],
        "cache_write_tokens": of["cache_write_5m"] + of["cache_write_1h"] + of["cache_write_other"],
        "cache_write_1h_tokens": of["cache_write_1h"],
        "input_audio_tokens": of["audio_in"] + of["cache_read_audio"],
        "input_image_tokens": of["image_in"],
        "input_video_tokens": of["video_in"],
        "input_tool_tokens": of["tool_in"],
        "output_reasoning_tokens": of["out_reasoning"],
        "output_audio_tokens": of["audio_out"],
        "output_image_tokens": of["image_out"],
        "web_searches": web,
        "storage_searches": of["file_searches"],
        "code_executions": of["code_runs"],
    }
    return types.Usage(**{name: count for name, count in found.items() if count})


def served(catalog: Catalog) -> Iterator[tuple[types.Provider, types.ModelInfo, Price]]:
    """Every model of genai-prices that the catalog serves at its maker, with the price that it has here."""
    for provider in get_snapshot().providers:
        for info in provider.models if provider.id in tuple(Family) else ():
            model = catalog.resolve(info.id)
            if model is not None and model.targets[0].provider.name == provider.id:
                yield provider, info, model.targets[0].price


@pytest.mark.parametrize("size", [0, 99_000, 199_000, 271_000, 400_000])
@pytest.mark.parametrize(("variant", "contexts"), CONTEXTS)
def test_every_key_of_every_model_costs_what_genai_prices_computes(
    all_published: Catalog, size: int, variant: Variant, contexts: dict[str, dict[str, str]]
) -> None:
    compared: set[tuple[str, str]] = set()
    for provider, info, price in served(all_published):
        if not priced(price, variant) or (contexts and provider.id not in contexts):
            continue
        context = contexts.get(provider.id)
        keys = vars(info.get_prices(datetime.now(UTC), context)).keys() & COUNTED.keys()
        together = Usage(in_uncached=size)
        for key in sorted(keys):
            usage = Usage(in_uncached=size)
            for count, number in COUNTED[key].items():
                for each in (usage, together):
                    setattr(each, count, (getattr(each, count) or 0) + number)
            for each in (usage, together):
                expected = info.calc_price(theirs(each), provider, price_context=context).total_price
                assert bill([(price, each)], variant) == (*[ceil(expected * 10**8)] * 2, True), (info.id, key)
            compared.add((info.id, key))
    assert len({model for model, _ in compared}) > (3 if contexts else 100)
    assert contexts or {key for _, key in compared} >= {
        "cache_audio_read_mtok",
        "input_video_mtok",
        "storage_searches_kcount",
        "output_image_mtok",
        "cache_write_1h_mtok",
    }


def test_a_model_with_a_key_that_is_not_counted_is_not_served(all_published: Catalog) -> None:
    assert PRICE_KEYS.keys() == COUNTED.keys()
    for provider in get_snapshot().providers:
        for info in provider.models if provider.id in tuple(Family) else ():
            if "claude" in info.id and provider.id == Family.GOOGLE:
                continue
            keys = {key for key, price in vars(info.get_prices(datetime.now(UTC))).items() if price is not None}
            if keys - PRICE_KEYS.keys() or "input_mtok" not in keys:
                found = all_published.resolve(info.id)
                assert found is None or found.targets[0].provider.name != provider.id, info.id


# What no answer of a maker's served models counts: OpenAI's models for audio have a row of their own, only Anthropic
# and OpenAI write caches, and only Anthropic for an hour.
NOT_COUNTED = {
    Family.OPENAI: {"audio_in", "audio_out", "image_out", "cache_read_audio", "cache_write_1h"},
    Family.ANTHROPIC: {"audio_in", "audio_out", "image_out", "cache_read_audio"},
    Family.GOOGLE: {"audio_out", "image_out", "cache_write_5m", "cache_write_1h", "cache_write_other"},
}


def test_no_published_price_is_borrowed_for_what_its_model_can_be_billed_for(all_published: Catalog) -> None:
    for provider, info, price in served(all_published):
        borrowed = set(price.standard.unstated) - NOT_COUNTED[Family(provider.id)] - set(CALLS)
        if borrowed:  # older than prompt caching
            assert info.id in {"claude-2", "claude-v1"}
            assert borrowed == {"cache_write_5m", "cache_write_1h", "cache_write_other"}


@pytest.mark.parametrize(
    ("name", "key", "usd"),
    [
        ("gpt-4o-mini-search-preview", "searches", 25),
        ("gpt-4o-mini-search-preview-2025-03-11", "searches", 25),
        ("gpt-4o-search-preview", "searches", 25),
        ("gpt-5-search-api", "searches", 10),
        ("gpt-4o", "searches", 10),
        ("gpt-4o", "preview_searches", 25),
        ("gpt-4.1-mini", "preview_searches", 25),
        ("gpt-5", "preview_searches", 10),
        ("o3-deep-research", "preview_searches", 10),
        ("gpt-4o", "file_searches", Decimal("2.5")),
        ("gemini-2.5-flash", "searches", 35),
        ("gemini-2.5-flash", "map_searches", 25),
        ("gemini-3.1-pro-preview", "map_searches", 14),
        ("gemini-3.1-pro-preview", "searches", 14),
    ],
)
def test_what_a_thousand_searches_cost(all_published: Catalog, name: str, key: str, usd: Decimal) -> None:
    model = all_published.resolve(name)
    assert model is not None
    usage = Usage(**dict.fromkeys({key, "searches"}, 1_000))
    assert cost(model.targets[0].price, usage, Variant()) == usd * 100_000_000


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt-4o-mini-search-preview", True),
        ("gpt-4o-mini-search-preview-2025-03-11", True),
        ("gpt-5-search-api", True),
        ("gpt-4o-mini", False),
        ("o3-deep-research", False),
    ],
)
def test_which_models_search_by_themselves(all_published: Catalog, name: str, expected: bool) -> None:
    model = all_published.resolve(name)
    assert model is not None
    assert model.targets[0].searches is expected
    assert ("search" in model.name.replace("research", "")) is expected


@pytest.mark.parametrize(
    "asked",
    [
        "gpt-4o-audio-preview",
        "gpt-4o-mini-audio-preview-2024-12-17",
        "gemini-2.0-flash-exp-image-generation",
        "gemini-2.5-pro-native-audio",
        "gemini-3.6-flash-live",
        "gemini-1.5-flash-8b",
        "gpt-5-nano-audio",
        "claude-haiku-4-5-fast",
        "gemini-omni-1.1-flash",
    ],
)
def test_a_model_without_a_price_of_its_own_is_not_served_at_its_neighbours(all_published: Catalog, asked: str) -> None:
    assert all_published.resolve(asked) is None


@pytest.mark.parametrize(
    "asked",
    [
        "gemini-2.5-pro-preview-05-06",
        "gemini-2.5-pro-exp-03-25",
        "gemini-3.1-pro-preview-customtools",
        "gemini-2.5-flash-lite-preview-09-2025",
        "gemini-2.0-flash-001",
        "gemini-2.0-flash-thinking-exp-01-21",
        "claude-3-7-sonnet-20250219",
        "claude-sonnet-4-20250514",
        "gpt-5-nano-2025-08-07",
        "computer-use-preview-2025-03-11",
    ],
)
def test_a_date_a_version_or_a_stage_is_the_same_model(all_published: Catalog, asked: str) -> None:
    assert all_published.resolve(asked) is not None


def test_us_only_inference_costs_a_tenth_more_from_claude_4_6_on(all_published: Catalog) -> None:
    us = Variant(geography=Geography.US)
    for name, has in (("claude-opus-4-6", True), ("claude-sonnet-5", True), ("claude-sonnet-4-5", False)):
        model = all_published.resolve(name)
        assert model is not None
        price = model.targets[0].price
        assert priced(price, us) is has
        if has:
            base = cost(price, Usage(in_uncached=1_000), Variant())
            assert cost(price, Usage(in_uncached=1_000), us) * 10 == base * 11


def test_tools_that_cost_their_tokens_alone_have_a_row_of_zero(all_published: Catalog) -> None:
    def has(model: str) -> tuple[bool, bool, bool]:
        found = all_published.resolve(model)
        assert found is not None
        price = found.targets[0].price
        return tuple(prices_calls(price, count) for count in ("searches", "fetches", "code_runs"))  # type: ignore[return-value]

    assert has("claude-sonnet-4-5") == (True, True, False)
    assert has("gemini-2.5-pro") == (True, True, True)
    assert has("gpt-5") == (True, False, False)
    assert has("text-embedding-3-small") == (False, False, False)


def test_a_chat_model_without_an_output_price_is_not_served(
    compiled: PublishedList, monkeypatch: pytest.MonkeyPatch
) -> None:
    unpriced = {model.id for model in compiled.models if model.row is None}
    assert {"gemma-3", "whisper-1", "tts-1"} <= unpriced
    assert entry(compiled, "gemini-embedding-001").row is not None


def info(**prices: object) -> types.ModelInfo:
    return types.ModelInfo(id="m", match=types.ClauseEquals("m"), **prices)  # type: ignore[arg-type]


def made_up(monkeypatch: pytest.MonkeyPatch, model: types.ModelInfo, now: datetime = NOW) -> PublishedList:
    provider = types.Provider(id="openai", name="OpenAI", api_pattern="", models=[model])
    snapshot = type("Snapshot", (), {"providers": [provider]})
    monkeypatch.setattr("gateway.catalog.compile.get_snapshot", lambda: snapshot)
    return compile_list(now)


def test_prices_are_those_of_the_moment_and_the_next_change_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def at(dollars: int) -> types.ModelPrice:
        return types.ModelPrice(input_mtok=Decimal(dollars), output_mtok=Decimal(dollars))

    model = info(
        prices=[
            types.ConditionalPrice(prices=at(1)),
            types.ConditionalPrice(types.StartDateConstraint(date(2026, 1, 1)), prices=at(2)),
            types.ConditionalPrice(types.StartDateConstraint(date(2027, 1, 1)), prices=at(3)),
        ],
        price_variants=[
            types.PriceVariant(
                {"service_tier": "flex"},
                types.ModelPrice(input_mtok=Decimal("0.5")),
                types.StartDateConstraint(date(2026, 12, 1)),
            )
        ],
    )
    first = made_up(monkeypatch, model)
    two = ((0, Decimal(2)),)
    assert first.models[0].row == {"input": two, "output": two, "cache_write": two}
    assert first.models[0].variants == {}
    assert first.until_ms == int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1_000)
    second = made_up(monkeypatch, model, datetime(2026, 12, 1, tzinfo=UTC))
    half = ((0, Decimal("0.5")),)
    assert second.models[0].variants == {"flex": {"input": half, "cache_write": half}}
    assert second.until_ms == int(datetime(2027, 1, 1, tzinfo=UTC).timestamp() * 1_000)
    third = made_up(monkeypatch, model, datetime(2027, 1, 1, tzinfo=UTC))
    assert third.models[0].row is not None
    assert third.models[0].row["input"] == ((0, Decimal(3)),)
    assert third.until_ms is None


@pytest.mark.parametrize("extra", ["requests_kcount", "input_characters_of_a_new_kind"])
def test_a_price_that_no_count_covers_leaves_the_model_unpriced(extra: str, monkeypatch: pytest.MonkeyPatch) -> None:
    prices = types.ModelPrice(input_mtok=Decimal(1), output_mtok=Decimal(1), **{extra: Decimal(1)})
    (model,) = made_up(monkeypatch, info(prices=prices)).models
    assert model.row is None
    assert model.names == ("m",)


# The rules on names.


@pytest.mark.parametrize(
    ("match", "takes", "leaves"),
    [
        (Match("equals", "a-b"), ["a-b"], ["a-b-c", "A-b", ""]),
        (Match("starts_with", "a-"), ["a-", "a-1"], ["ba-", "a"]),
        (Match("ends_with", "-z"), ["-z", "a-z"], ["a-z1"]),
        (Match("contains", "mid"), ["mid", "amidb"], ["mi-d"]),
        (Match("regex", r"^a-\d{2}$"), ["a-12"], ["a-123", "xa-12"]),
        (Match("any", of=(Match("equals", "a"), Match("equals", "b"))), ["a", "b"], ["c"]),
        (Match("all", of=(Match("starts_with", "a"), Match("ends_with", "z"))), ["az"], ["a", "z"]),
    ],
)
def test_rules(match: Match, takes: list[str], leaves: list[str]) -> None:
    again = msgspec.json.decode(msgspec.json.encode(match), type=Match)
    for rule in (match.compile(), again.compile()):
        assert [rule(name) for name in takes] == [True] * len(takes)
        assert [rule(name) for name in leaves] == [False] * len(leaves)


def test_the_compiled_rules_agree_with_genai_prices(all_published: Catalog) -> None:
    endings = ["", "-latest", "-preview", "-20260101", "-2026-01-01", "-001", "-mini", "-tts", "-x"]
    for provider in get_snapshot().providers:
        if provider.id not in tuple(Family):
            continue
        for model in provider.models:
            for ending in endings:
                name = model.id + ending
                found = all_published.resolve(name)
                if found is None or found.targets[0].provider.name != provider.id:
                    continue
                theirs = provider._match_model(name)
                assert theirs is not None
                assert theirs.id == found.name


# Stated models.

STATED = """
[[models]]
name = "fast"
aliases = ["quick"]
targets = [{provider = "openai", model = "gpt-x"}, {provider = "host", model = "vendor/y"}]
tiers = ["default"]
max_output = 99
price = {input = 1, output = 2}
"""


def test_with_models_those_and_no_others(load: Load) -> None:
    stated = load(STATED + PROVIDERS + ELSEWHERE)
    model = stated.resolve("quick")
    assert model is stated.resolve("fast")
    assert stated.models == (model,)
    assert model is not None
    assert (model.name, model.max_output, model.tiers) == ("fast", 99, {"default"})
    assert [(target.provider.name, target.model) for target in model.targets] == [
        ("openai", "gpt-x"),
        ("host", "vendor/y"),
    ]
    assert model.allows("default")
    assert not model.allows("free")
    assert stated.resolve("gpt-4o") is None
    assert stated.resolve("gpt-x") is None
    assert stated.price_of(model.targets[1], "vendor/y") is model.targets[1].price


def test_a_model_without_tiers_is_for_every_one(load: Load) -> None:
    model = load(STATED.replace('tiers = ["default"]', "") + PROVIDERS + ELSEWHERE).resolve("fast")
    assert model is not None
    assert model.allows("anything")


def test_stated_prices_have_a_version_that_changes_with_them(load: Load) -> None:
    text = STATED + PROVIDERS + ELSEWHERE
    version = load(text).price_version
    assert version.startswith("config-")
    assert len(version) == len("config-") + 8
    assert load(text).price_version == version
    assert load(text.replace("99", "98")).price_version == version
    others = {
        load(text.replace("output = 2", "output = 3")).price_version,
        load(text + "[billing]\ncredit_usd = 0.02\n").price_version,
        load(text + "[billing]\nmarkup = 0.1\n").price_version,
        load(text.replace("output = 2}", "output = 2, variants = {flex = 0.5}}")).price_version,
    }
    assert len(others | {version}) == 5


def test_a_stated_model_may_leave_its_price_to_the_published_list(load: Load) -> None:
    text = '[[models]]\nname = "mine"\ntargets = [{provider = "anthropic", model = "claude-sonnet-4-5-20250929"}]\n'
    model = load(text + PROVIDERS).resolve("mine")
    assert model is not None
    assert model.context_window == 200_000
    assert model.targets[0].price.version == published.list_version()
    assert cost(model.targets[0].price, Usage(in_uncached=1_000_000), Variant()) == 6 * 10**8  # long context


def test_a_price_that_is_neither_stated_nor_published_is_a_fault(load: Load) -> None:
    text = '[[models]]\nname = "mine"\ntargets = [{provider = "anthropic", model = "claude-unheard-of"}]\n'
    with pytest.raises(ConfigError) as caught:
        load(text + PROVIDERS)
    (line,) = caught.value.faults
    assert line.startswith("models[0].targets[0].price: is missing")


def test_the_markup_is_in_every_price(load: Load) -> None:
    for text in (PROVIDERS, STATED + PROVIDERS + ELSEWHERE):
        prices = load(text + "[billing]\nmarkup = 0.5\n").models[0].targets[0].price
        assert prices.markup == Fraction(3, 2)


@pytest.mark.parametrize(("option", "expected"), [("", True), ("reasoning = false\n", False)])
def test_reasoning_is_known_for_openai_and_may_be_overruled(option: str, expected: bool, load: Load) -> None:
    text = f'[[models]]\nname = "m"\ntargets = [{{provider = "openai", model = "o3"}}]\n{option}'
    model = load(text + PROVIDERS).resolve("m")
    assert model is not None
    assert model.targets[0].reasons is expected


# The file between the parent and the workers.


def test_nothing_is_compiled_where_every_price_is_stated(tmp_path: Path) -> None:
    config = configured(STATED + PROVIDERS + ELSEWHERE, tmp_path)
    published.prepare(config)
    assert not config.server.data_dir.exists()
    assert catalog.load(config).resolve("fast") is not None


def test_the_list_is_compiled_once_and_again_after_a_dated_change(tmp_path: Path) -> None:
    config = configured(PROVIDERS, tmp_path)
    path = published.list_path(config.server.data_dir)
    published.prepare(config)
    made = path.stat()
    assert made.st_mode & 0o777 == 0o600
    published.prepare(config)
    assert path.stat().st_ino == made.st_ino
    until = published.read(path).until_ms
    assert until is not None
    published.prepare(config, now_ms=until)
    assert path.stat().st_ino != made.st_ino
    assert published.read(path).until_ms != until
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"format":0,"version":"x","until_ms":null,"models":[]}'])
def test_a_damaged_list_is_named_by_workers_and_repaired_by_the_parent(content: bytes, tmp_path: Path) -> None:
    config = configured(PROVIDERS, tmp_path)
    path = published.list_path(config.server.data_dir)
    path.parent.mkdir()
    path.write_bytes(content)
    with pytest.raises(ConfigError, match="is not the compiled price list"):
        catalog.load(config)
    published.prepare(config)
    assert catalog.load(config).models


def test_a_list_that_cannot_be_made_is_a_fault_of_the_data_directory(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file")
    with pytest.raises(ConfigError, match="could not be compiled"):
        published.prepare(configured(PROVIDERS, tmp_path))


def test_workers_load_the_catalog_without_genai_prices_and_pydantic(folder: Path) -> None:
    (folder / "gateway.toml").write_text(PROVIDERS)
    script = """
import sys
from pathlib import Path
from gateway.catalog import catalog, published
from gateway.config.load import load
config = load(Path(sys.argv[1]))
published.prepare(config)
assert catalog.load(config).resolve("gpt-4o") is not None
print([name for name in sys.modules if name.partition(".")[0] in ("genai_prices", "pydantic")])
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder / "gateway.toml")], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


# A host that has another name for a published model.


BEDROCK = (
    '[providers.bedrock]\nkind = "bedrock"\nlocation = "eu-central-1"\napi_keys = "AKIA:secret"\nregion = "eu"\n'
    "retention_days = 0\ntraining = false\n"
)


def named(target: str) -> str:
    return (
        f'{BEDROCK}[[models]]\nname = "m"\ntargets = [{{provider = "bedrock", model = "eu.anthropic.x", {target}}}]\n'
    )


def test_a_target_may_name_the_model_whose_published_price_holds(load: Load, all_published: Catalog) -> None:
    own = load(named('published_price = "claude-sonnet-4-5"'))
    [target] = own.models[0].targets
    maker = all_published.resolve("claude-sonnet-4-5")
    assert maker is not None
    assert (target.model, target.price) == ("eu.anthropic.x", maker.targets[0].price)
    assert own.models[0].context_window == maker.context_window
    # What an answer of it names is the same model under its maker's name.
    assert own.price_of(target, "claude-sonnet-4-5-20250929") is None


def test_a_target_with_a_published_price_reasons_as_its_model_does(load: Load) -> None:
    azure = (
        '[providers.azure]\nkind = "azure"\nbase_url = "https://r.example"\napi_keys = "k"\nregion = "eu"\n'
        'retention_days = 0\ntraining = false\n[[models]]\nname = "m"\n'
    )
    row = '{provider = "azure", model = "deployment", published_price = "gpt-5"}'
    [model] = load(f"{azure}targets = [{row}]\n").models
    assert (model.targets[0].reasons, model.max_output) == (True, 128_000)
    shared = load(f"{azure}targets = [{row}]\nprice = {{input = 1, output = 2}}\n").models[0].targets[0]
    assert shared.price == model.targets[0].price  # nearer than the model's


@pytest.mark.parametrize(
    ("target", "fault"),
    [
        ('published_price = "claude-9000"', "published_price: is not published; "),
        ('published_price = "gpt-4o"', "published_price: is not published; "),  # of another API
        ('published_price = "x", price = {input = 1, output = 2}', "published_price: stands beside a price; "),
        ("", "price: is missing, and no published price holds for that host; "),
    ],
)
def test_a_price_that_is_not_published(load: Load, target: str, fault: str) -> None:
    with pytest.raises(ConfigError) as raised:
        load(named(target or "training = false"))
    assert raised.value.faults[0].startswith(f"models[0].targets[0].{fault}")
