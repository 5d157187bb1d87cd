"""The peers' table as Markdown, and its place in a page."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

BEGIN = "<!-- peers: written by python -m benchmarks report --document -->"
END = "<!-- end of peers -->"


def number(value: float) -> str:
    """Three digits, as the page's other tables have them."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(line: Mapping[str, Any], contender: str) -> str:
    """A contender's median, and its ratio to nginx with the smallest and the largest."""
    values = line["values"].get(contender)
    if not values:
        return ""
    text = f"{number(statistics.median(values))} {line['unit']}"
    ratios = line["ratios"].get(contender)
    if not ratios or contender == "nginx":
        return text
    text += f", {statistics.median(ratios):.2f} x"
    return f"{text} ({min(ratios):.2f} to {max(ratios):.2f})" if len(ratios) > 1 else text


def lost(seen: Sequence[Mapping[str, int] | None]) -> str:
    """What a contender's records lack, over all rounds."""
    if not seen:
        return "not measured"
    counted = [one for one in seen if one is not None]
    if not counted:
        return "none kept"
    answered, missing, guessed = (sum(one[name] for one in counted) for name in ("answered", "lost", "estimated"))
    share = f" ({missing / answered:.1%})".replace("%", " %") if answered else ""
    return f"{missing:,} of {answered:,}{share}" + (f", {guessed:,} estimated" if guessed else "")


def markdown(peers: Mapping[str, Any]) -> str:
    """The table, what it was measured on, and how each contender was started."""
    names = peers["contenders"]
    machine = peers["machine"]
    variables = " ".join(f"{name}=..." for name in peers["variables"])
    rounds = f"{peers['rounds']} interleaved rounds" if peers["rounds"] > 1 else "one round"
    about = (
        f"Measured on {peers['when']} in {rounds}, with `{' '.join([variables, peers['command']]).strip()}`, on "
        f"{machine['cpus']} processors ({machine['processor'] or 'unnamed'}), {machine['system']}, "
        f"Python {machine['python']}.{_busy(peers)}"
    )
    out = [
        about,
        "",
        _row(["what", *names]),
        "|" + "---|" * (len(names) + 1),
        *(_row([line["name"], *(cell(line, name) for name in names)]) for line in peers["lines"]),
        _row(["answered requests that its records lack when it is killed", *(lost(peers["killed"][n]) for n in names)]),
        "",
        _row(["contender", "version", "started as"]),
        "|---|---|---|",
        *(_row([n, peers["versions"].get(n, ""), f"`{peers['commands'].get(n, '')}`"]) for n in names),
    ]
    notes = [f"{name}: not measured, {_first_line(why)}" for name, why in peers["skipped"].items() if name != "direct"]
    notes += [f"{name}: its kill was not measured, {_first_line(why)}" for name, why in peers["unread"].items()]
    for name, errors in peers["errors"].items():
        notes.append(f"{name}: {', '.join(f'{count:,} x {error}' for error, count in sorted(errors.items()))}")
    return "\n".join([*out, "", *(f"- {note}" for note in notes)] if notes else out)


def _busy(peers: Mapping[str, Any]) -> str:
    busy = peers.get("busy", 0.0)
    return f" Others kept {busy:.2f} processors busy before it began: only the ratios count." if busy else ""


def _first_line(text: str) -> str:
    return " ".join(text.split())[:160]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")


def into(page: str, text: str) -> str:
    """A page with the text between its two marks. Raises ValueError where they are missing."""
    head, begin, rest = page.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page lacks the lines {BEGIN} and {END}")
    return f"{head}{BEGIN}\n\n{text}\n\n{END}{tail}"
