"""``docs/agents.md``: how each agent and editor is connected, and what was seen of each agent."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final

from tests.agents.situations import SENTENCES, SITUATIONS, Verdict
from tests.agents.table import Agent

_INTRODUCTION: Final = """# Agents and editors

Each agent needs the gateway's address and a token. `codegrex-gateway token --url https://gateway.example.com` prints a
token, the portal creates personal ones, and `make run` prints the address and token of a gateway on your machine. In
local mode, use the broker's address (`http://127.0.0.1:8081`) and any text as the token.

A token expires. Claude Code and Codex can get a new one from a command: `apiKeyHelper` in `~/.claude/settings.json`,
and `[model_providers.codegrex.auth]` with `command` and `args` instead of `env_key` in `~/.codex/config.toml`. The
command is `codegrex-gateway token --url https://gateway.example.com`, after one sign-in.

`make agents` installs the agents below in these versions, runs each against a gateway with a simulated provider, and
writes this page (`python -m tests.agents --write`).

## Terminal agents
"""
_NOT_TRIED: Final = Verdict("not tried")
_EDITORS: Final = """
## Editors

| editor | where | what | run |
|---|---|---|---|
| VS Code and JetBrains, Continue | `~/.continue/config.yaml` | the file of the Continue CLI above | as the CLI |
| VS Code and JetBrains, Cline | settings, API provider | "OpenAI Compatible": base URL `https://gateway.example.com/v1`, the token, the model's id | as the CLI |
| VS Code, Roo Code | settings, API provider | as Cline | no |
| VS Code, Claude Code | `~/.claude/settings.json` | `{"env": {"ANTHROPIC_BASE_URL": "https://gateway.example.com", "ANTHROPIC_AUTH_TOKEN": "..."}}` | as the CLI |
| VS Code, Codex | `~/.codex/config.toml` | the file of the Codex CLI above | as the CLI |
| VS Code, GitHub Copilot with a key of your own | command "Chat: Open Language Models (JSON)" | a provider of the kind "Custom Endpoint": the token as `apiKey`, and for each model `id`, `name`, `url` `https://gateway.example.com/v1/chat/completions`, `toolCalling`, `maxInputTokens`, `maxOutputTokens` | no |
| Zed | `settings.json` | `language_models`, `openai_compatible`, any name: `api_url` `https://gateway.example.com/v1` and `available_models` (`name`, `max_tokens`: the context window); the token in the provider's settings | no |
| JetBrains AI Assistant | settings, providers and API keys | an OpenAI-compatible provider: URL `https://gateway.example.com/v1`, the token | no |
| Cursor | settings, Models | override the OpenAI base URL: `https://gateway.example.com/v1`. Cursor's servers send the requests, so they must reach the gateway | no |
| Neovim, CodeCompanion | `adapters.http`, extend `openai_compatible` | `env = { url = "https://gateway.example.com", api_key = "CODEGREX_TOKEN" }` (the name of a variable), `schema.model.default` | no |

"As the CLI": the editor's plugin reads the same file or has the same settings as the terminal agent, which `make
agents` runs. "No": the editor needs a screen or an account of its maker and was not tested; the line is from the
editor's documentation.
"""
_EXPLAINED: Final = """
## What was seen

Each cell is one run of the agent. *First turn* includes its key and the list of models. *Writes a file* is a loop with
a real tool call. *Ctrl-C* is pressed in the middle of an answer, and works if the provider stops. *Provider outage* is
two failures in a row. *Local mode* is the broker with an engine that supports only Chat Completions. *says so* means
that the agent showed the gateway's own sentence, and that no provider was called.

*With other companies' models* is *writes a file* with a model of each of the two companies whose API the agent does not
speak: the gateway [translates](translation.md). In all of *first turn*, *writes a file* and *provider outage*, the
account's records equal the provider's bills; after *Ctrl-C* there is a record. In *first turn*, *writes a file* and
*Ctrl-C*, the provider received neither the token, nor an identifier of the installation, nor a name or a path outside of
the conversation, nor an unknown header.
"""


def page(agents: Iterable[Agent], found: Mapping[str, Mapping[str, Verdict]]) -> str:
    """The whole page."""
    agents = tuple(agents)
    return "".join((_INTRODUCTION, *map(_setup, agents), _EDITORS, _EXPLAINED, _table(agents, found)))


def _setup(agent: Agent) -> str:
    values = {"url": "https://gateway.example.com", "token": "$TOKEN", "model": agent.model}
    lines = [agent.install]
    lines += [f'export {name}="{text.format(**values)}"' for name, text in agent.environment.items()]
    files = "".join(
        f"\n`~/{path}`:\n\n```{path.rpartition('.')[2]}\n{text.format(**values)}```\n"
        for path, text in agent.files.items()
    )
    command = "\n".join(lines)
    return f"\n### {agent.title} {agent.version}\n\n```sh\n{command}\n```\n{files}"


def _cell(found: Mapping[str, Mapping[str, Verdict]], agent: Agent, name: str) -> Verdict:
    return found.get(f"{agent.name} {agent.version}", {}).get(name, _NOT_TRIED)


def _table(agents: tuple[Agent, ...], found: Mapping[str, Mapping[str, Verdict]]) -> str:
    head = ["agent", *(situation.title for situation in SITUATIONS.values())]
    rows = [head, ["---"] * len(head)]
    notes: list[str] = []
    for agent in agents:
        cells = {name: _cell(found, agent, name) for name in SITUATIONS}
        rows.append([f"{agent.title} {agent.version}", *(_word(cell) for cell in cells.values())])
        notes += [
            f"- {agent.title} {agent.version}, {SITUATIONS[name].title}: {agent.notes.get(name) or cell.fault}."
            for name, cell in cells.items()
            if cell.fault and cell is not _NOT_TRIED
        ]
    table = "\n" + "\n".join("| " + " | ".join(row) + " |" for row in rows) + "\n"
    return table + ("\n" + "\n".join(notes) + "\n" if notes else "")


def _word(cell: Verdict) -> str:
    if cell is _NOT_TRIED:
        return "not tried"
    if cell.fault:
        return "fails"
    if any(sentence in cell.shown for sentence in SENTENCES):
        return "says so"
    return cell.shown.partition(" (")[0].replace("|", "/")[:60] or "works"
