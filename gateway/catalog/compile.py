"""Compiles genai-prices into the price list that workers read. It runs as a separate process.

    python -m gateway.catalog.compile FILE NOW_MS

Rules:

1. Only what its maker publishes and this gateway can count is used. A model whose price depends on anything else (a
   fee per request, hours of audio, the time of day, a key of genai-prices that is not in `PRICE_KEYS`) is unpriced, so
   requests for it are refused.
2. If genai-prices omits a key, the maker's general price applies: ``input_mtok`` or ``output_mtok`` for the whole
   direction. The row then states that price if it would otherwise use a default (`metering.pricing.NEIGHBOURS`). If the
   general price is known not to apply, the model is unpriced (`NEEDED`).
3. Prices that only the makers' pages have are in this file, each with its source: US inference, searches.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable, Iterator
from copy import copy
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import msgspec
from genai_prices import types
from genai_prices.data_snapshot import get_snapshot
from msgspec.structs import replace

from gateway.catalog.naming import reasons, searches
from gateway.catalog.published import FORMAT, Match, PublishedList, PublishedModel, StoredRow, list_version
from gateway.files import write_file
from providers.dialect import Family
from providers.tools.catalog import TOOLS_BY_ID

# genai-prices' price keys that have a count of their own, and the factor to "per million".
PRICE_KEYS = {
    "input_mtok": ("input", 1),
    "output_mtok": ("output", 1),
    "cache_read_mtok": ("cache_read", 1),
    "cache_write_mtok": ("cache_write", 1),
    "cache_write_5m_mtok": ("cache_write_5m", 1),
    "cache_write_1h_mtok": ("cache_write_1h", 1),
    "cache_audio_read_mtok": ("cache_read_audio", 1),
    "input_tool_mtok": ("tool_in", 1),
    "input_audio_mtok": ("audio_in", 1),
    "input_image_mtok": ("image_in", 1),
    "input_video_mtok": ("video_in", 1),
    "output_reasoning_mtok": ("out_reasoning", 1),
    "output_audio_mtok": ("audio_out", 1),
    "output_image_mtok": ("image_out", 1),
    "web_searches_kcount": ("searches", 1_000),
    "storage_searches_kcount": ("file_searches", 1_000),
    "code_executions_kcount": ("code_runs", 1_000),
}
# OpenAI asks 8 to 20 times as much for audio, and Google as much for images, as the general price says.
NEEDED = (
    (Family.OPENAI, re.compile(r"audio"), {"input_audio_mtok", "output_audio_mtok"}),
    (Family.GOOGLE, re.compile(r"image|banana"), {"output_image_mtok"}),
)
CONTEXTS = {
    ("service_tier", "flex"): "flex",
    ("service_tier", "priority"): "priority",
    ("service_tier", "fast"): "standard.fast",
    ("processing", "batch"): "batch",
    ("speed", "fast"): "standard.fast",
}
# Server-side tools that cost their tokens and nothing else:
# https://platform.claude.com/docs/en/agents-and-tools/tool-use/web-fetch-tool (usage and pricing),
# https://ai.google.dev/gemini-api/docs/code-execution (billing), .../url-context (pricing).
FREE_CALLS = {
    Family.OPENAI: (),
    Family.ANTHROPIC: ("fetches",),
    Family.GOOGLE: ("fetches", "code_runs"),
}
# No path of the data plane serves these: speech, live sessions, image endpoints, fine-tuned models.
NOT_SERVED = {
    Family.OPENAI: re.compile(r"realtime|transcribe|tts|whisper|moderation|-live|image|^ft:|\.ft-|:"),
    Family.ANTHROPIC: re.compile(r"^$"),
    Family.GOOGLE: re.compile(r"-live|tts|streaming"),
}
# A preview search costs more at models that don't reason; a model that searches by itself is billed like its tool:
# https://developers.openai.com/api/docs/pricing (built-in tools). On maps, Gemini 2 is billed by the grounded prompt
# and Gemini 3 by the query, as on the web: https://ai.google.dev/gemini-api/docs/pricing.
_LIST_PRICES = {tool.id: tool.usd_per_1000 for tool in TOOLS_BY_ID.values() if tool.usd_per_1000 is not None}
PREVIEW = _LIST_PRICES["openai_web_search_preview"] * 1_000
MAPS_BY_PROMPT = _LIST_PRICES["gemini_google_maps"] * 1_000
OWN_SEARCH = (
    ("-search-preview", PREVIEW),
    ("-search-api", _LIST_PRICES["openai_web_search"] * 1_000),
)
# US-only inference costs 1.1 times as much from Claude 4.6 on:
# https://platform.claude.com/docs/en/manage-claude/data-residency
US_FACTOR = (11, 10)
US_SINCE = (4, 6)
_CLAUDE_VERSION = re.compile(r"claude-[a-z]+-(\d+)(?:-(\d+))?$")


def compile_list(now: datetime) -> PublishedList:
    """The price list as of ``now``, with the moment of the next dated change."""
    models: list[PublishedModel] = []
    changes: set[datetime] = set()
    for provider in get_snapshot().providers:
        if provider.id not in tuple(Family):
            continue
        family = Family(provider.id)
        own = [model for model in provider.models if family is Family.ANTHROPIC or "claude" not in model.id]
        names = _closed_names(own)
        for model in own:
            changes |= {start for start in _starts(model) if start > now}
            models += _models(family, model, names[model.id], now)
    until = min(changes, default=None)
    return PublishedList(
        FORMAT, list_version(), None if until is None else int(until.timestamp() * 1_000), tuple(models)
    )


def _closed_names(models: Iterable[types.ModelInfo]) -> dict[str, tuple[str, ...]]:
    """Every name that an equality lists, at the model that genai-prices itself finds first."""
    models = list(models)
    names: dict[str, list[str]] = {model.id: [] for model in models}
    listed = [name for model in models for name in (model.id, *_equalities(model.match))]
    for name in dict.fromkeys(listed):
        owner = next((model for model in models if model.is_match(name)), None)
        if owner is not None:
            names[owner.id].append(name)
    return {name: tuple(sorted(found, key=lambda other: (other != name, other))) for name, found in names.items()}


def _equalities(match: object) -> Iterator[str]:
    if isinstance(match, types.ClauseEquals):
        yield match.equals
    elif isinstance(match, types.ClauseOr):
        for clause in match.or_:
            yield from _equalities(clause)


def _match(match: object) -> Match:
    if isinstance(match, types.ClauseEquals):
        return Match("equals", match.equals.lower())
    if isinstance(match, types.ClauseStartsWith):
        return Match("starts_with", match.starts_with.lower())
    if isinstance(match, types.ClauseEndsWith):
        return Match("ends_with", match.ends_with.lower())
    if isinstance(match, types.ClauseContains):
        return Match("contains", match.contains.lower())
    if isinstance(match, types.ClauseRegex):
        return Match("regex", match.regex)
    if isinstance(match, types.ClauseOr):
        return Match("any", of=tuple(_match(clause) for clause in match.or_))
    if isinstance(match, types.ClauseAnd):
        return Match("all", of=tuple(_match(clause) for clause in match.and_))
    raise TypeError("genai-prices has a matching rule that this version does not know")


def _conditions(model: types.ModelInfo) -> Iterator[object]:
    if isinstance(model.prices, list):
        yield from (price.constraint for price in model.prices)
    yield from (variant.constraint for variant in model.price_variants or ())


def _starts(model: types.ModelInfo) -> Iterator[datetime]:
    for condition in _conditions(model):
        if isinstance(condition, types.StartDateConstraint):
            yield datetime.combine(condition.start_date, datetime.min.time(), UTC)


def _models(family: Family, model: types.ModelInfo, names: tuple[str, ...], now: datetime) -> Iterator[PublishedModel]:
    """The model; and on its own, what the list names among its names although it is billed for searches, too."""
    searching = tuple(name for name in names if searches(family, name))
    if not searching or searches(family, model.id):
        yield _model(family, model, names, now)
        return
    yield _model(family, model, tuple(name for name in names if name not in searching), now)
    own = copy(model)
    own.id = min(searching, key=len)
    own.price_variants = None  # the list states them of the other model
    yield replace(_model(family, own, searching, now), match=None)


def _model(family: Family, model: types.ModelInfo, names: tuple[str, ...], now: datetime) -> PublishedModel:
    match = _match(model.match)
    row = None if NOT_SERVED[family].search(model.id) else _row(family, model, model.get_prices(now))
    if any(isinstance(condition, types.TimeOfDateConstraint) for condition in _conditions(model)):
        row = None
    return PublishedModel(
        family=family,
        id=model.id,
        names=names,
        match=None if match.closed() else match,
        row=row,
        variants=_variants(family, model, row, now) if row is not None else {},
        factors={"standard.us": US_FACTOR} if _us_inference(family, model.id) else {},
        context_window=model.context_window,
        deprecated=bool(model.deprecated),
    )


def _row(family: Family, model: types.ModelInfo, prices: types.ModelPrice) -> StoredRow | None:
    stated = {key: price for key, price in vars(prices).items() if price is not None}
    if "input_mtok" not in stated or stated.keys() - PRICE_KEYS.keys():
        return None
    if any(family is whose and name.search(model.id) and needed - stated.keys() for whose, name, needed in NEEDED):
        return None
    row: StoredRow = {}
    for key, price in stated.items():
        name, factor = PRICE_KEYS[key]
        row[name] = _steps(price, factor)
    if "output" not in row:
        if "embedding" not in model.id:
            return None
        row["output"] = _steps(Decimal(0), 1)
    if family is Family.OPENAI:
        row.setdefault("cache_write", row["input"])
    elif family is Family.GOOGLE and "audio_in" not in row:
        row["audio_in"] = row["input"]
        row["cache_read_audio"] = row.get("cache_read", row["input"])
    for name in FREE_CALLS[family]:
        row.setdefault(name, _steps(Decimal(0), 1))
    _add_searches(family, model.id, row)
    return row


def _add_searches(family: Family, model: str, row: StoredRow) -> None:
    """What the makers' pages say of searches and genai-prices does not."""
    if searches(family, model):
        row["searches"] = _steps(next(price for ending, price in OWN_SEARCH if ending in model), 1)
    elif "searches" in row and family is Family.OPENAI:
        row["preview_searches"] = row["searches"] if reasons(family, model) else _steps(PREVIEW, 1)
    elif "searches" in row and family is Family.GOOGLE:
        by_prompt = model.startswith("gemini-2")
        row["map_searches"] = _steps(MAPS_BY_PROMPT, 1) if by_prompt else row["searches"]


def _steps(price: Decimal | types.TieredPrices, factor: int) -> tuple[tuple[int, Decimal], ...]:
    if isinstance(price, Decimal):
        return ((0, price * factor),)
    return ((0, price.base * factor), *((tier.start, tier.price * factor) for tier in price.tiers))


def _variants(family: Family, model: types.ModelInfo, row: StoredRow, now: datetime) -> dict[str, StoredRow]:
    found: dict[str, StoredRow] = {}
    for variant in model.price_variants or ():
        if len(variant.when) != 1 or (variant.constraint is not None and not variant.constraint.active(now)):
            continue
        name = CONTEXTS.get(next(iter(variant.when.items())))
        if name is None or name in found:
            continue
        own = _row(family, model, model.get_prices(now, variant.when))
        if own is not None:
            found[name] = {key: steps for key, steps in own.items() if steps != row.get(key)}
    return found


def _us_inference(family: Family, name: str) -> bool:
    found = _CLAUDE_VERSION.fullmatch(name)
    return family is Family.ANTHROPIC and found is not None and (int(found[1]), int(found[2] or 0)) >= US_SINCE


def main(arguments: list[str]) -> None:
    path, now_ms = arguments
    now = datetime.fromtimestamp(int(now_ms) / 1_000, UTC)
    write_file(Path(path), msgspec.json.encode(compile_list(now)))


if __name__ == "__main__":
    main(sys.argv[1:])
