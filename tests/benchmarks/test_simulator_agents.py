"""What an agent's prompt can make the simulated model do, in every dialect: call a certain tool once, or say a text."""

import json
import urllib.request

import pytest

from benchmarks.simulator import MARK, SimulatorProcess

ARGUMENTS = {"path": "/tmp/a b", "text": 'with "quotes", \\ and {braces}\n'}
CALL = "<reminder/> Please call the tool second " + json.dumps(ARGUMENTS) + " now."
TEXT = 'a file\n```\nwith "quotes" and \\ in it\n```\n'
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
KINDS = {
    "chat": ("/v1/chat/completions", "messages", "function"),
    "responses": ("/v1/responses", "input", "plain"),
    "messages": ("/v1/messages", "messages", "anthropic"),
    "google": ("/v1beta/models/gemini-2.5-flash:generateContent", "contents", "google"),
}
RESULT = {
    "chat": {"role": "tool", "tool_call_id": "c", "content": "done"},
    "responses": {"type": "function_call_output", "call_id": "c", "output": "done"},
    "messages": {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "c", "content": "done"}, {"type": "text", "text": "go on"}],
    },
    "google": {"role": "user", "parts": [{"functionResponse": {"name": "second", "response": {}}}]},
}


@pytest.fixture(scope="module")
def sim():
    with SimulatorProcess() as simulator:
        yield simulator


def said(kind, text):
    return {"role": "user", "parts": [{"text": text}]} if kind == "google" else {"role": "user", "content": text}


def ask(sim, kind, turns, tools=("first", "second")):
    path, member, form = KINDS[kind]
    shapes = {
        "function": [{"type": "function", "function": {"name": name, "parameters": SCHEMA}} for name in tools],
        "plain": [{"type": "function", "name": name, "parameters": SCHEMA} for name in tools],
        "anthropic": [{"name": name, "input_schema": SCHEMA} for name in tools],
        "google": [{"functionDeclarations": [{"name": name, "parameters": SCHEMA} for name in tools]}],
    }
    body = {"model": "gpt-4o", "max_tokens": 50, member: turns, "tools": shapes[form]}
    request = urllib.request.Request(sim.url + path, json.dumps(body).encode(), {"content-type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def told(kind, answer):
    """The name and the arguments of the tool that is called, or the text."""
    if kind == "chat":
        message = answer["choices"][0]["message"]
        calls = [call["function"] for call in message.get("tool_calls") or ()]
        return (calls[0]["name"], json.loads(calls[0]["arguments"])) if calls else message["content"]
    if kind == "responses":
        item = answer["output"][-1]
        if item["type"] == "function_call":
            return item["name"], json.loads(item["arguments"])
        return item["content"][0]["text"]
    if kind == "messages":
        block = answer["content"][-1]
        return (block["name"], block["input"]) if block["type"] == "tool_use" else block["text"]
    part = answer["candidates"][0]["content"]["parts"][-1]
    return (part["functionCall"]["name"], part["functionCall"]["args"]) if "functionCall" in part else part["text"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_certain_tool_is_called_once(sim, kind):
    turns = [said(kind, "before"), said(kind, CALL)]
    assert told(kind, ask(sim, kind, turns)) == ("second", ARGUMENTS)
    assert MARK in told(kind, ask(sim, kind, [*turns, RESULT[kind]]))
    assert MARK in told(kind, ask(sim, kind, turns, tools=("first",)))  # it is not offered


@pytest.mark.parametrize("kind", KINDS)
def test_a_text_is_said(sim, kind):
    assert told(kind, ask(sim, kind, [said(kind, f"Please answer with the text {json.dumps(TEXT)} now.")])) == TEXT


@pytest.mark.parametrize("stream", [False, True])
def test_a_custom_tool_of_a_namespace_in_an_item_is_called_with_its_text(sim, stream):
    """As Codex has its tools."""
    item = {
        "type": "additional_tools",
        "role": "developer",
        "tools": [
            {"type": "web_search"},
            {"type": "namespace", "name": "functions", "tools": [{"type": "custom", "name": "exec"}]},
        ],
    }
    wanted = "text(await tools.run({cmd: 'ls'}))\n"
    prompt = f"Please call the tool exec {json.dumps({'input': wanted})} now."
    body = {"model": "gpt-6.1-terra", "stream": stream, "input": [item, {"role": "user", "content": prompt}]}
    request = urllib.request.Request(sim.url + "/v1/responses", json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as answer:
        if stream:
            events = [json.loads(line[6:]) for line in answer.read().splitlines() if line.startswith(b"data: ")]
            deltas = [event["delta"] for event in events if event["type"] == "response.custom_tool_call_input.delta"]
            assert "".join(deltas) == wanted
            response = events[-1]["response"]
        else:
            response = json.load(answer)
    called = response["output"][-1]
    assert (called["type"], called["namespace"], called["name"]) == ("custom_tool_call", "functions", "exec")
    assert called["input"] == wanted
