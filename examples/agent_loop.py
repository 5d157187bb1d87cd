"""One agent loop, with tools and thinking, on each provider's own SDK, against models of every provider.

CODEGREX_TOKEN=... python examples/agent_loop.py http://127.0.0.1:8080 MODEL [MODEL ...] [--question TEXT]

Needs the packages openai, anthropic and google-genai. Nothing here depends on who serves a model: a request that its
provider cannot read as it is is translated by the gateway, and so is the answer. What a model thought goes back with
the next turn, since the providers want their own signatures back: each SDK keeps it in its own form.
"""

from __future__ import annotations

import argparse
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import anthropic
import openai
from google import genai
from google.genai import types

QUESTION = "How many lines does README.md have? Please call the tool, and then answer in one sentence."
INSTRUCTIONS = "You are a careful assistant. Use the tools for what you do not know."
LIMIT = 4_000
TURNS = 8


def count_lines(path: str) -> str:
    """How many lines a file below this folder has."""
    found = Path.cwd().joinpath(path).resolve()
    if not found.is_relative_to(Path.cwd()) or not found.is_file():
        return "There is no such file."
    return str(len(found.read_bytes().splitlines()))


NAME, DESCRIPTION = "count_lines", "Counts the lines of a file in the working folder."
PARAMETERS = {
    "type": "object",
    "properties": {"path": {"type": "string"}},
    "required": ["path"],
    "additionalProperties": False,
}
TOOLS: dict[str, Callable[..., str]] = {NAME: count_lines}


@dataclass
class Call:
    id: str
    name: str
    arguments: dict[str, Any]


@dataclass
class Turn:
    """What a model said."""

    text: str = ""
    thoughts: str = ""
    calls: list[Call] = field(default_factory=list)


class Chat(Protocol):
    """A conversation, in the form of one SDK."""

    def ask(self, text: str) -> Turn: ...

    def give(self, results: list[tuple[Call, str]]) -> Turn: ...


def run(chat: Chat, question: str) -> tuple[Turn, list[Call]]:
    """The agent: ask, run the tools that the model calls, until it answers. Returns the answer and all calls."""
    turn, called, thoughts = chat.ask(question), list[Call](), ""
    for _ in range(TURNS):
        thoughts += turn.thoughts
        if not turn.calls:
            break
        called += turn.calls
        turn = chat.give([(call, TOOLS[call.name](**call.arguments)) for call in turn.calls])
    return Turn(turn.text, thoughts, turn.calls), called


class OpenAIChat:
    def __init__(self, base: str, token: str, model: str) -> None:
        self.client = openai.OpenAI(base_url=f"{base}/v1", api_key=token)
        self.model = model
        self.items: list[Any] = []

    def ask(self, text: str) -> Turn:
        self.items.append({"role": "user", "content": text})
        return self._turn()

    def give(self, results: list[tuple[Call, str]]) -> Turn:
        self.items += [
            {"type": "function_call_output", "call_id": call.id, "output": output} for call, output in results
        ]
        return self._turn()

    def _turn(self) -> Turn:
        tool: Any = {"type": "function", "name": NAME, "description": DESCRIPTION, "parameters": PARAMETERS}
        with self.client.responses.stream(
            model=self.model,
            instructions=INSTRUCTIONS,
            input=self.items,
            tools=[tool | {"strict": True}],
            max_output_tokens=LIMIT,
            reasoning={"effort": "medium", "summary": "auto"},
            include=["reasoning.encrypted_content"],
            store=False,
        ) as events:
            response = events.get_final_response()
        turn = Turn(response.output_text)
        for item in response.output:
            self.items.append(item.model_dump(exclude={"status", "parsed_arguments"}, exclude_none=True))
            if item.type == "function_call":
                turn.calls.append(Call(item.call_id, item.name, json.loads(item.arguments)))
            elif item.type == "reasoning":
                turn.thoughts += "".join(part.text for part in item.summary)
        return turn


class AnthropicChat:
    def __init__(self, base: str, token: str, model: str) -> None:
        self.client = anthropic.Anthropic(base_url=base, api_key=token)
        self.model = model
        self.messages: list[Any] = []

    def ask(self, text: str) -> Turn:
        self.messages.append({"role": "user", "content": text})
        return self._turn()

    def give(self, results: list[tuple[Call, str]]) -> Turn:
        blocks = [{"type": "tool_result", "tool_use_id": call.id, "content": output} for call, output in results]
        self.messages.append({"role": "user", "content": blocks})
        return self._turn()

    def _turn(self) -> Turn:
        with self.client.messages.stream(
            model=self.model,
            system=INSTRUCTIONS,
            messages=self.messages,
            tools=[{"name": NAME, "description": DESCRIPTION, "input_schema": PARAMETERS}],
            max_tokens=LIMIT,
            thinking={"type": "enabled", "budget_tokens": LIMIT // 2},
        ) as events:
            message = events.get_final_message()
        self.messages.append({"role": "assistant", "content": message.content})
        turn = Turn()
        for block in message.content:
            match block.type:
                case "text":
                    turn.text += block.text
                case "thinking":
                    turn.thoughts += block.thinking
                case "tool_use":
                    turn.calls.append(Call(block.id, block.name, dict(block.input)))
        return turn


class GoogleChat:
    def __init__(self, base: str, token: str, model: str) -> None:
        self.client = genai.Client(api_key=token, http_options=types.HttpOptions(base_url=base))
        self.model = model
        self.contents: list[types.Content] = []

    def ask(self, text: str) -> Turn:
        self.contents.append(types.Content(role="user", parts=[types.Part(text=text)]))
        return self._turn()

    def give(self, results: list[tuple[Call, str]]) -> Turn:
        parts = [
            types.Part(
                function_response=types.FunctionResponse(id=call.id, name=call.name, response={"output": output})
            )
            for call, output in results
        ]
        self.contents.append(types.Content(role="user", parts=parts))
        return self._turn()

    def _turn(self) -> Turn:
        declared = types.FunctionDeclaration(name=NAME, description=DESCRIPTION, parameters_json_schema=PARAMETERS)
        chunks = self.client.models.generate_content_stream(
            model=self.model,
            contents=self.contents,
            config=types.GenerateContentConfig(
                system_instruction=INSTRUCTIONS,
                tools=[types.Tool(function_declarations=[declared])],
                max_output_tokens=LIMIT,
                thinking_config=types.ThinkingConfig(include_thoughts=True, thinking_budget=LIMIT // 2),
            ),
        )
        parts = [
            part
            for chunk in chunks
            for candidate in chunk.candidates or ()
            for part in (candidate.content.parts if candidate.content else None) or ()
        ]
        self.contents.append(types.Content(role="model", parts=parts))
        turn = Turn()
        for number, part in enumerate(parts):
            if part.function_call is not None:
                call = part.function_call
                turn.calls.append(Call(call.id or f"call_{number}", call.name or "", dict(call.args or {})))
            elif part.thought:
                turn.thoughts += part.text or ""
            else:
                turn.text += part.text or ""
        return turn


CHATS = {"openai": OpenAIChat, "anthropic": AnthropicChat, "google-genai": GoogleChat}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("base")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--question", default=QUESTION)
    asked = parser.parse_args()
    for sdk, chat in CHATS.items():
        for model in asked.models:
            answer, calls = run(chat(asked.base, os.environ["CODEGREX_TOKEN"], model), asked.question)
            called = ", ".join(f"{call.name}({json.dumps(call.arguments)})" for call in calls)
            print(f"{sdk} -> {model}")
            print(f"  thought: {' '.join(answer.thoughts.split()) or 'nothing that it shows'}")
            print(f"  called: {called}")
            print(f"  said: {' '.join(answer.text.split())}", flush=True)


if __name__ == "__main__":
    main()
