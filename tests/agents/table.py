"""The agents: which version, how it is installed, what connects it to the gateway, and how it is asked once.

Texts hold ``{url}`` (the gateway, without a version), ``{token}``, ``{model}``, ``{folder}`` (the project) and
``{home}``; `Agent.setup` of them all is what `docs/agents.md` shows a person.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

NEW_FILE: Final = "written-by-the-agent.txt"

MODELS: Final = {"anthropic": "claude-sonnet-5-5", "openai": "gpt-6.1-terra", "google": "gemini-3.8-flash"}


@dataclass(frozen=True)
class Agent:
    """One agent.

    Attributes:
        name: Its command.
        title: Its name.
        package: At the registry of npm, or of PyPI where ``python``.
        version: Pinned.
        api: Whose API it speaks.
        command: One turn without a terminal; ``{prompt}`` is the prompt.
        environment: What connects it, and below it (`quiet`) what a person does not need.
        files: What connects it, by path below the home.
        writes: The tool that writes a file and its arguments, with ``{path}`` and ``{text}``; ``None`` for an agent that
            reads files out of the answer's text.
        others_write: The same, if the agent offers other tools to other companies' models.
        reply: The answer that makes such an agent write the file.
        stdin: The prompt is its standard input.
        notes: What is the agent's own fault in this version, by situation.
        chosen: The model to ask, if it is not the one of its API.
    """

    name: str
    title: str
    package: str
    version: str
    api: str
    command: tuple[str, ...]
    environment: Mapping[str, str] = field(default_factory=dict)
    quiet: Mapping[str, str] = field(default_factory=dict)
    files: Mapping[str, str] = field(default_factory=dict)
    writes: tuple[str, Mapping[str, object]] | None = None
    others_write: tuple[str, Mapping[str, object]] | None = None
    reply: str = ""
    python: bool = False
    stdin: bool = False
    notes: Mapping[str, str] = field(default_factory=dict)
    chosen: str = ""

    @property
    def model(self) -> str:
        return self.chosen or MODELS[self.api]

    @property
    def install(self) -> str:
        """As a person installs it."""
        if self.python:
            return f"pipx install {self.package}=={self.version}"
        return f"npm install -g {self.package}@{self.version}"


_SHELL: Final = f"printf %s '{{text}}' > {NEW_FILE}"

AGENTS: Final = (
    Agent(
        name="claude",
        title="Claude Code",
        package="@anthropic-ai/claude-code",
        version="2.1.332",
        api="anthropic",
        command=("claude", "-p", "{prompt}", "--model", "{model}", "--permission-mode", "acceptEdits"),
        environment={"ANTHROPIC_BASE_URL": "{url}", "ANTHROPIC_AUTH_TOKEN": "{token}"},
        quiet={"CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC": "1", "DISABLE_AUTOUPDATER": "1"},
        writes=("Write", {"file_path": "{path}", "content": "{text}"}),
    ),
    Agent(
        name="codex",
        title="Codex CLI",
        package="@openai/codex",
        version="0.171.0",
        api="openai",
        command=("codex", "exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", "{prompt}"),
        environment={"CODEGREX_TOKEN": "{token}"},
        files={
            ".codex/config.toml": 'model = "{model}"\nmodel_provider = "codegrex"\n\n[model_providers.codegrex]\n'
            'name = "CodeGrex"\nbase_url = "{url}/v1"\nenv_key = "CODEGREX_TOKEN"\nwire_api = "responses"\n'
        },
        writes=("exec", {"input": f'text((await tools.exec_command({{{{cmd: "{_SHELL}"}}}})).output)'}),
        others_write=("exec_command", {"cmd": _SHELL}),
    ),
    Agent(
        name="gemini",
        title="Gemini CLI",
        package="@google/gemini-cli",
        version="0.61.0",
        api="google",
        command=("gemini", "--skip-trust", "--approval-mode", "yolo", "-m", "{model}", "-p", "{prompt}"),
        environment={"GOOGLE_GEMINI_BASE_URL": "{url}", "GEMINI_API_KEY": "{token}"},
        files={
            ".gemini/settings.json": '{{"security": {{"auth": {{"selectedType": "gemini-api-key"}}}}}}\n',
        },
        writes=("write_file", {"file_path": "{path}", "content": "{text}"}),
    ),
    Agent(
        name="opencode",
        title="opencode",
        package="opencode-ai",
        version="1.18.33",
        api="openai",
        command=("opencode", "run", "--auto", "-m", "codegrex/{model}"),
        stdin=True,
        environment={"CODEGREX_TOKEN": "{token}"},
        quiet={"OPENCODE_DISABLE_AUTOUPDATE": "1", "OPENCODE_DISABLE_MODELS_FETCH": "1"},
        files={
            ".config/opencode/opencode.json": '{{"provider": {{"codegrex": {{"npm": "@ai-sdk/openai-compatible", '
            '"name": "CodeGrex",\n  "options": {{"baseURL": "{url}/v1", "apiKey": "{{env:CODEGREX_TOKEN}}"}},\n'
            '  "models": {{"{model}": {{"name": "{model}"}}}}}}}}}}\n'
        },
        writes=("bash", {"command": _SHELL, "description": "writes the file"}),
    ),
    Agent(
        name="aider",
        title="aider",
        package="aider-chat",
        version="0.86.2",
        api="openai",
        python=True,
        command=(
            *("aider", "--model", "openai/{model}", "--message", "{prompt}", "--yes-always", "--edit-format", "whole"),
            *("--no-git", "--no-check-update", "--no-show-model-warnings", "--no-show-release-notes", "--no-pretty"),
            *("--analytics-disable", NEW_FILE),
        ),
        environment={"OPENAI_API_BASE": "{url}/v1", "OPENAI_API_KEY": "{token}"},
        reply=f"{NEW_FILE}\n```\n{{text}}\n```\n",
    ),
    Agent(
        name="qwen",
        title="Qwen Code",
        package="@qwen-code/qwen-code",
        version="0.24.4",
        api="openai",
        command=("qwen", "--auth-type", "openai", "-m", "{model}", "--yolo", "{prompt}"),
        environment={"OPENAI_BASE_URL": "{url}/v1", "OPENAI_API_KEY": "{token}"},
        writes=("write_file", {"file_path": "{path}", "content": "{text}"}),
    ),
    Agent(
        name="cn",
        title="Continue CLI",
        package="@continuedev/cli",
        version="1.5.47",
        api="openai",
        command=("cn", "-p", "--auto", "--config", "{home}/.continue/config.yaml", "{prompt}"),
        files={
            ".continue/config.yaml": "name: CodeGrex\nversion: 1.0.0\nschema: v1\nmodels:\n  - name: {model}\n"
            "    provider: openai\n    model: {model}\n    apiBase: {url}/v1\n    apiKey: {token}\n"
            "    roles: [chat, edit, apply]\n    capabilities: [tool_use]\n"
        },
        writes=("Write", {"filepath": "{path}", "content": "{text}"}),
    ),
    Agent(
        name="pi",
        title="pi",
        package="@mariozechner/pi-coding-agent",
        version="0.73.1",
        api="openai",
        command=("pi", "-p", "--provider", "codegrex", "--model", "{model}", "{prompt}"),
        environment={"CODEGREX_TOKEN": "{token}"},
        files={
            ".pi/agent/models.json": '{{"providers": {{"codegrex": {{"baseUrl": "{url}/v1", "apiKey": "CODEGREX_TOKEN",\n'
            '  "api": "openai-completions", "models": [{{"id": "{model}"}}]}}}}}}\n'
        },
        writes=("write", {"path": "{path}", "content": "{text}"}),
    ),
    Agent(
        name="cline",
        title="Cline CLI",
        package="cline",
        version="3.0.65",
        api="openai",
        command=("cline", "--auto-approve", "true", "-P", "openai-compatible", "-m", "{model}", "{prompt}"),
        files={
            ".cline/data/settings/providers.json": '{{"version": 1, "lastUsedProvider": "openai-compatible", '
            '"providers": {{"openai-compatible": {{\n  "settings": {{"provider": "openai-compatible", "apiKey": "{token}", '
            '"model": "{model}",\n    "baseUrl": "{url}/v1"}}, "updatedAt": "2026-01-01T00:00:00.000Z", '
            '"tokenSource": "manual"}}}}}}\n'
        },
        writes=("run_commands", {"commands": [_SHELL]}),
    ),
)
