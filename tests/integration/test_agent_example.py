"""The example's agent, unchanged, on every SDK against every provider's model: it thinks, calls a tool and answers."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.simulator import MARK
from benchmarks.simulator.anthropic import SIGNATURE
from benchmarks.simulator.google import SIGNATURE as THOUGHT_SIGNATURE
from tests.integration.sdk_stack import LASTING, SPOKEN, Stack

pytest_plugins = ("tests.integration.sdk_fixtures",)

EXAMPLE = Path(__file__).parents[2] / "examples" / "agent_loop.py"
MODELS = [SPOKEN, LASTING["anthropic"], LASTING["google"]]
SEALS = {"/v1/responses": '"encrypted_content":', "/v1/messages": SIGNATURE, "/v1beta/": THOUGHT_SIGNATURE}


def test_the_agent_of_the_example(stack: Stack) -> None:
    ran = subprocess.run(
        [sys.executable, EXAMPLE, stack.url, *MODELS],
        env=os.environ | {"CODEGREX_TOKEN": stack.token}, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    rows = re.findall(r"(\S+) -> (\S+)\n  thought: (.*)\n  called: (.*)\n  said: (.*)\n", ran.stdout)
    assert [row[:2] for row in rows] == [(sdk, of) for sdk in ("openai", "anthropic", "google-genai") for of in MODELS]
    for _, model, thought, called, said in rows:
        assert ("sim-thought" in thought) is (model != SPOKEN)  # which shows none
        assert re.fullmatch(r'count_lines\(\{"path": ".+"\}\)', called)
        assert said.count(MARK) == 12
    # The second turn of each has what its provider alone can read of the first one's thoughts, whatever SDK kept it.
    requests = stack.sim.requests()
    for path, seal in SEALS.items():
        second = [one["body"] for one in requests if one["target"].startswith(path)][1::2]
        assert [seal in body for body in second] == [True, True, True], path
    assert len(stack.settled(2 * len(rows))) == len(requests)
