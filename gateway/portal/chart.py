"""What an account used, by day and model: sums, a drawing (SVG) and the same as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta

from gateway.portal.page import amount, esc
from metering.usage import UsageRecord

DAYS = 30
SHOWN = 4  # models with a colour of their own; the others are one
OTHERS = "Other models"
_WIDTH, _HEIGHT, _STEP, _BAR = 600, 160, 20, 14


@dataclass(frozen=True, slots=True)
class UsageByDay:
    """``models``: the dearest first, then perhaps `OTHERS`. ``charges``: (day, model) to micro-credits."""

    days: tuple[date, ...]
    models: tuple[str, ...]
    charges: dict[tuple[date, str], int]

    def of_model(self, model: str) -> int:
        return sum(self.charges.get((day, model), 0) for day in self.days)

    def of_day(self, day: date) -> int:
        return sum(self.charges.get((day, model), 0) for model in self.models)


def usage(records: Iterable[UsageRecord], today: date) -> UsageByDay:
    """Sums of the last `DAYS` days, in UTC, by the time of settlement."""
    days = tuple(today - timedelta(days=back) for back in range(DAYS - 1, -1, -1))
    sums: Counter[tuple[date, str]] = Counter()
    totals: Counter[str] = Counter()
    for record in records:
        day = datetime.fromtimestamp(record.settled_ms / 1000, UTC).date()
        if days[0] <= day <= today:
            sums[day, record.model] += record.charge
            totals[record.model] += record.charge
    names = [model for model, _ in totals.most_common()]
    own = names if len(names) <= SHOWN + 1 else names[:SHOWN]
    charges: Counter[tuple[date, str]] = Counter()
    for (day, model), charge in sums.items():
        charges[day, model if model in own else OTHERS] += charge
    return UsageByDay(days, tuple(own) if len(own) == len(names) else (*own, OTHERS), dict(charges))


def draw(used: UsageByDay) -> str:
    """The chart with its legend and, folded, its table."""
    if not used.models:
        return '<p class="quiet">Nothing was used in the last 30 days.</p>'
    legend = "".join(
        f'<li><svg class="key" viewBox="0 0 10 10" aria-hidden="true"><rect class="m{index}" width="10" height="10" '
        f'rx="2"/></svg><span>{esc(model)}</span> <span class="number">{amount(used.of_model(model))}</span></li>'
        for index, model in enumerate(used.models)
    )
    return (
        f'<figure>{_svg(used)}<figcaption><ul class="legend">{legend}</ul></figcaption></figure>'
        f"<details><summary>Show as a table</summary>{_table(used)}</details>"
    )


def _svg(used: UsageByDay) -> str:
    highest = max(1, *(used.of_day(day) for day in used.days))
    bars: list[str] = []
    for column, day in enumerate(used.days):
        top = _HEIGHT
        for index, model in enumerate(used.models):
            charge = used.charges.get((day, model), 0)
            height = max(1, charge * _HEIGHT // highest) if charge > 0 else 0
            if height:
                top -= height
                bars.append(
                    f'<rect class="m{index}" x="{column * _STEP + 3}" y="{max(0, top)}" width="{_BAR}" '
                    f'height="{height}"><title>{day.isoformat()}, {esc(model)}: {amount(charge)} credits</title></rect>'
                )
    total = amount(sum(used.of_model(model) for model in used.models))
    first, last = used.days[0], used.days[-1]
    return (
        f'<svg class="chart" viewBox="0 -2 {_WIDTH} {_HEIGHT + 26}" role="img" aria-label="Credits used in the last '
        f'{DAYS} days: {total} in all, {amount(highest)} on the busiest day">'
        f'<line class="axis" x1="0" x2="{_WIDTH}" y1="{_HEIGHT}" y2="{_HEIGHT}"/>{"".join(bars)}'
        f'<text x="0" y="{_HEIGHT + 19}">{first.day} {first:%b}</text>'
        f'<text x="{_WIDTH}" y="{_HEIGHT + 19}" text-anchor="end">{last.day} {last:%b}</text></svg>'
    )


def _table(used: UsageByDay) -> str:
    rows = "".join(
        f'<tr><th scope="row">{day.isoformat()}</th><td>{esc(model)}</td>'
        f'<td class="number">{amount(used.charges[day, model])}</td></tr>'
        for day in reversed(used.days)
        for model in used.models
        if used.charges.get((day, model))
    )
    return (
        '<div class="wide" tabindex="0" role="region" aria-label="Credits by day and model"><table><thead><tr>'
        '<th scope="col">Day (UTC)</th><th scope="col">Model</th><th scope="col" class="number">Credits</th></tr>'
        f"</thead><tbody>{rows}</tbody></table></div>"
    )
