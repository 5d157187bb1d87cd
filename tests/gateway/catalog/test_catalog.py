from __future__ import annotations

import subprocess
import sys
import tomllib
from collections.abc import Callable
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
from gateway.catalog.catalog import Catalog, reasons
from gateway.catalog.compile import IGNORED_KEYS, PRICE_KEYS, compile_list
from gateway.catalog.published import Match, PublishedList, PublishedModel
from gateway.config import Config, ConfigError
from gateway.config.load import read
from metering.pricing import cost, priced, prices_calls
from metering.usage import Geography, ServiceTier, Speed, Usage, Variant
from providers.dialect import Family

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


@pytest.mark.parametrize(
    "asked",
    [
        "",
        "gpt-9000",
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
    target = all_published.find_by_provider_model("anthropic", "claude-haiku-4-5-20251001")
    assert target is not None
    assert target.price == all_published.find_by_provider_model("anthropic", "claude-haiku-4-5").price  # type: ignore[union-attr]
    assert all_published.find_by_provider_model("openai", "claude-haiku-4-5") is None
    assert all_published.find_by_provider_model("anthropic", "claude-nothing") is None


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

COUNT_OF = {
    "input_tokens": "in_uncached",
    "cache_read_tokens": "cache_read",
    "cache_write_tokens": "cache_write_5m",
    "output_tokens": "out_visible",
    "web_searches": "searches",
}


@pytest.mark.parametrize("size", [1_000, 199_999, 200_001, 300_000])
@pytest.mark.parametrize(
    ("variant", "contexts"),
    [
        (Variant(), {}),
        (Variant(tier=ServiceTier.PRIORITY), {family: {"service_tier": "priority"} for family in Family}),
        (Variant(tier=ServiceTier.FLEX), {family: {"service_tier": "flex"} for family in Family}),
        (Variant(speed=Speed.FAST), {"openai": {"service_tier": "fast"}, "anthropic": {"speed": "fast"}}),
    ],
)
def test_every_published_price_is_what_genai_prices_computes(
    all_published: Catalog, size: int, variant: Variant, contexts: dict[str, dict[str, str]]
) -> None:
    compared = 0
    for provider in get_snapshot().providers:
        for info in provider.models:
            model = all_published.resolve(info.id) if provider.id in tuple(Family) else None
            if model is None or model.targets[0].provider.name != provider.id:
                continue
            stated = vars(info.get_prices(datetime.now(UTC)))
            price = model.targets[0].price
            if not priced(price, variant) or "output_mtok" not in stated:
                continue
            context = contexts.get(provider.id)
            usage = {"input_tokens": size, "output_tokens": 777}
            if "cache_read_mtok" in stated:
                usage["cache_read_tokens"] = 300
            if "cache_write_mtok" in stated:
                usage["cache_write_tokens"] = 50
            if "web_searches_kcount" in stated:
                usage["web_searches"] = 3
            expected = info.calc_price(types.Usage(**usage), provider, price_context=context).total_price
            ours = Usage(**{COUNT_OF[key]: count for key, count in usage.items()})
            assert ours.in_uncached is not None
            ours.in_uncached -= (ours.cache_read or 0) + (ours.cache_write_5m or 0)
            assert cost(price, ours, variant) == ceil(expected * 10**8), info.id
            compared += 1
    assert compared > (3 if contexts else 100)


def test_every_price_key_of_the_makers_is_either_counted_or_knowingly_ignored() -> None:
    seen: set[str] = set()
    for provider in get_snapshot().providers:
        if provider.id not in tuple(Family):
            continue
        for model in provider.models:
            rows = model.prices if isinstance(model.prices, list) else [model.prices]
            for row in rows:
                prices = row.prices if isinstance(row, types.ConditionalPrice) else row
                if "input_mtok" in vars(prices):
                    seen |= {key for key, value in vars(prices).items() if value is not None}
    assert seen - PRICE_KEYS.keys() - IGNORED_KEYS == {"output_video_mtok"}  # no count: such models are refused


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
    assert first.models[0].row == {"input": ((0, Decimal(2)),), "output": ((0, Decimal(2)),)}
    assert first.models[0].variants == {}
    assert first.until_ms == int(datetime(2026, 12, 1, tzinfo=UTC).timestamp() * 1_000)
    second = made_up(monkeypatch, model, datetime(2026, 12, 1, tzinfo=UTC))
    assert second.models[0].variants == {"flex": {"input": ((0, Decimal("0.5")),)}}
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
    target = stated.find_by_provider_model("host", "vendor/y")
    assert target is model.targets[1]


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
def test_a_damaged_list_is_named_by_workers_and_mended_by_the_parent(content: bytes, tmp_path: Path) -> None:
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
