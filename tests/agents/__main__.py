"""``make agents``: every agent of `table` in every situation, as a table.

``--write`` puts what was seen last of every cell into ``docs/agents.md``; `SEEN` keeps it, so that a part can run again.

Exit code 1 if a cell fails that `Agent.notes` does not explain as the agent's own fault. Arguments: names of agents,
``--only SITUATION``.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Final

from tests.agents.bench import INSTALLED, ROOT, Bench, bench
from tests.agents.page import page
from tests.agents.situations import SITUATIONS, Verdict
from tests.agents.table import AGENTS, Agent

SEEN: Final = INSTALLED / "seen.json"
PAGE: Final = ROOT / "docs" / "agents.md"


def judge(agent: Agent, running: Bench, name: str) -> Verdict:
    """One cell."""
    running.fresh()
    running.sim.reset()
    running.sim.set_defaults(chunks=None, pace=None, fault="", times=None)
    try:
        return SITUATIONS[name].judge(running, agent)
    except (OSError, AssertionError, subprocess.SubprocessError) as error:
        return Verdict(f"{type(error).__name__}: {error}"[:300])


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.agents", description=__doc__)
    parser.add_argument("agents", nargs="*", help="names; all of them if none is given")
    parser.add_argument("--only", action="append", choices=list(SITUATIONS), help="these situations (repeatable)")
    parser.add_argument("--write", action="store_true", help="write docs/agents.md")
    options = parser.parse_args(arguments)
    chosen = [agent for agent in AGENTS if agent.name in options.agents or not options.agents]
    names = options.only or list(SITUATIONS)
    failed = 0
    with tempfile.TemporaryDirectory(prefix="agents-") as folder, bench(Path(folder)) as running:
        for agent in chosen:
            for name in names:
                verdict = judge(agent, running, name)
                own = agent.notes.get(name, "")
                failed += bool(verdict.fault and not own)
                text = f"{'own fault' if own else 'FAILS'}: {verdict.fault}" if verdict.fault else "works"
                sys.stdout.write(" ".join(f"{agent.name:9} {name:8} {text} {verdict.shown}".split("\n")) + "\n")
                sys.stdout.flush()
                _keep(agent, name, verdict)
    if options.write:
        PAGE.write_text(page(AGENTS, _seen()))
    return int(failed > 0)


def _seen() -> dict[str, dict[str, Verdict]]:
    """What the last run of each cell found, by agent with its version."""
    if not SEEN.exists():
        return {}
    return {
        agent: {name: Verdict(**cell) for name, cell in cells.items()}
        for agent, cells in json.loads(SEEN.read_text()).items()
    }


def _keep(agent: Agent, name: str, verdict: Verdict) -> None:
    seen = _seen()
    seen.setdefault(f"{agent.name} {agent.version}", {})[name] = verdict
    cells = {key: {name: asdict(cell) for name, cell in row.items()} for key, row in seen.items()}
    SEEN.write_text(json.dumps(cells, indent=1))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
