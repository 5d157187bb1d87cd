"""Secrets over several turns: the provider gets the same bytes again, and what it signed as it signed it."""

import json
import re

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import eventually
from tests.integration.test_workers import metric
from tests.raw_http import RawClient, request
from tests.raw_provider import RawProvider, body, data_event, stream

EMAIL = "ada@example.org"
KEY = "AKIAIOSFODNN7EXAMPLE"
PASSWORD = "correct-horse-battery"
FIRST = f"write to {EMAIL} with {KEY}, by https://ada:{PASSWORD}@mail.example.org"
HOLDER = re.compile(rb"MASKED_[A-Z]+_[A-Z2-7]{13}_")
HEADERS = {"/v1/messages": {"anthropic-version": "2023-06-01"}}


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    with RawProvider() as peer:
        providers = {kind: provider(kind, peer.url) for kind in ("openai", "anthropic", "google")}
        gateway = GatewayProcess(
            tmp_path_factory.mktemp("turns"),
            providers,
            [model("oai", "openai"), model("ant", "anthropic"), model("goo", "google")],
            {"policy": {"secrets": "restore"}},
        )
        with gateway:
            yield gateway, peer, gateway.session("user", 10_000)["access_token"]


def ask(running, path, asked, script):
    gateway, peer, token = running
    peer.script = script
    headers = {"authorization": f"Bearer {token}", **HEADERS.get(path, {})}
    with RawClient(gateway.url) as client:
        answer = client.send(request("POST", path, json.dumps(asked).encode(), headers=headers)).answer()
    assert (answer.status, answer.complete) == (200, True), answer.body
    sent = peer.seen[-1].body
    assert not [secret for secret in (EMAIL, KEY, PASSWORD) if secret.encode() in sent]
    return answer, sent


def holders(request_):
    """The placeholders of a request, in order, each once."""
    return [found.decode() for found in dict.fromkeys(HOLDER.findall(request_.body))]


def events(answer):
    return [json.loads(line[6:]) for line in answer.body.splitlines() if line.startswith(b"data: {")]


def goes_on(first, second, member):
    """The second request begins with the same bytes as the first, up to the end of its list."""
    assert second.startswith(first[: first.index(b"]", first.index(member)) - 1])


# Messages: signed thinking, a call, a text.


def claude(request_, _):
    mail, key, password = holders(request_)
    blocks = [
        {"type": "thinking", "thinking": f"I use {mail} and {password}.", "signature": "c2ln"},
        {"type": "redacted_thinking", "data": "ZW5j"},
        {"type": "text", "text": f"With {password} I write."},
        {"type": "tool_use", "id": "t1", "name": "send", "input": {"to": mail, "thinking": key}},
    ]
    usage = {"input_tokens": 9, "output_tokens": 7}
    message = {"id": "m", "type": "message", "role": "assistant", "model": "ant", "stop_reason": "tool_use"}
    if not request_.json().get("stream"):
        return body({**message, "content": blocks, "usage": usage})
    told = [
        data_event({"type": "message_start", "message": {**message, "content": [], "usage": usage}}, "message_start")
    ]
    for index, block in enumerate(blocks):
        name, deltas = {
            "thinking": ("thinking", [*pieces("thinking_delta", "thinking", block.get("thinking", "")), {"type": "signature_delta", "signature": "c2ln"}]),
            "text": ("text", pieces("text_delta", "text", block.get("text", ""))),
            "tool_use": ("input", pieces("input_json_delta", "partial_json", json.dumps(block.get("input")))),
        }.get(block["type"], ("", []))  # fmt: skip
        empty = {**block, **({name: {} if name == "input" else ""} if name else {})}
        told.append(data_event({"type": "content_block_start", "index": index, "content_block": empty}, "content_block_start"))  # fmt: skip
        told += [
            data_event({"type": "content_block_delta", "index": index, "delta": delta}, "content_block_delta")
            for delta in deltas
        ]
        told.append(data_event({"type": "content_block_stop", "index": index}, "content_block_stop"))
    told.append(
        data_event({"type": "message_delta", "delta": {"stop_reason": "tool_use"}, "usage": usage}, "message_delta")
    )
    told.append(data_event({"type": "message_stop"}, "message_stop"))
    return stream(told)


def pieces(kind, name, text):
    return [{"type": kind, name: text[at : at + 7]} for at in range(0, len(text), 7)]


def blocks_of(answer):
    """The content of a message, streamed or not."""
    if answer.headers["content-type"] == "application/json":
        return answer.json()["content"]
    found = []
    for event in events(answer):
        if event["type"] == "content_block_start":
            found.append(dict(event["content_block"]))
            arguments = ""
        elif event["type"] == "content_block_delta":
            for name in ("thinking", "text", "signature"):
                if name in event["delta"]:
                    found[-1][name] = found[-1].get(name, "").replace("c2ln", "") + event["delta"][name]
            arguments += event["delta"].get("partial_json", "")
        elif event["type"] == "content_block_stop" and found[-1]["type"] == "tool_use":
            found[-1]["input"] = json.loads(arguments)
    return found


@pytest.mark.parametrize("streamed", [False, True])
def test_messages(running, streamed):
    asked = {"model": "ant", "max_tokens": 9, "stream": streamed, "messages": [{"role": "user", "content": FIRST}]}
    answer, first = ask(running, "/v1/messages", asked, claude)
    mail, _, password = (found.decode() for found in dict.fromkeys(HOLDER.findall(first)))
    thinking, redacted, text, call = content = blocks_of(answer)
    assert thinking == {"type": "thinking", "thinking": f"I use {mail} and {password}.", "signature": "c2ln"}
    assert redacted["data"] == "ZW5j"
    assert text["text"] == f"With {PASSWORD} I write."
    assert call["input"] == {"to": EMAIL, "thinking": KEY}
    turns = [*asked["messages"], {"role": "assistant", "content": content}]
    turns += [
        {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t1", "content": f"sent to {EMAIL}"}]}
    ]
    _, second = ask(running, "/v1/messages", asked | {"messages": turns}, claude)
    goes_on(first, second, b'"messages"')
    told = json.loads(second)["messages"][1]["content"]
    assert told[0] == thinking
    assert told[2]["text"] == f"With {password} I write."  # known by its context only, and alone here
    assert told[3]["input"]["to"] == mail


# Chat: a text and a call's arguments.


def gpt(request_, _):
    mail, key, _ = holders(request_)
    arguments = json.dumps({"to": mail, "key": key})
    call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    usage = {"prompt_tokens": 9, "completion_tokens": 7, "total_tokens": 16}
    if not request_.json().get("stream"):
        message = {"role": "assistant", "content": f"To {mail}.", "tool_calls": [call]}
        return body({"choices": [{"index": 0, "message": message, "finish_reason": "tool_calls"}], "usage": usage})
    deltas = [{"content": text} for text in re.findall("(?s).{1,5}", f"To {mail}.")]
    deltas += [{"tool_calls": [{"index": 0, **call, "function": {"name": "send", "arguments": ""}}]}]
    deltas += [
        {"tool_calls": [{"index": 0, "function": {"arguments": text}}]} for text in re.findall("(?s).{1,9}", arguments)
    ]
    told = [data_event({"choices": [{"index": 0, "delta": delta, "finish_reason": None}]}) for delta in deltas]
    told.append(data_event({"choices": [{"index": 0, "delta": {}, "finish_reason": "tool_calls"}]}))
    return stream([*told, data_event({"choices": [], "usage": usage}), data_event(b"[DONE]")])


@pytest.mark.parametrize("streamed", [False, True])
def test_chat(running, streamed):
    asked = {"model": "oai", "stream": streamed, "messages": [{"role": "user", "content": FIRST}]}
    answer, first = ask(running, "/v1/chat/completions", asked, gpt)
    if streamed:
        deltas = [choice["delta"] for event in events(answer) for choice in event["choices"]]
        text = "".join(delta.get("content") or "" for delta in deltas)
        arguments = "".join(call["function"]["arguments"] for delta in deltas for call in delta.get("tool_calls", ()))
    else:
        message = answer.json()["choices"][0]["message"]
        text, arguments = message["content"], message["tool_calls"][0]["function"]["arguments"]
    assert (text, json.loads(arguments)) == (f"To {EMAIL}.", {"to": EMAIL, "key": KEY})
    call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    turns = [*asked["messages"], {"role": "assistant", "content": text, "tool_calls": [call]}]
    turns += [{"role": "tool", "tool_call_id": "c1", "content": f"done for {EMAIL}"}]
    _, second = ask(running, "/v1/chat/completions", asked | {"messages": turns}, gpt)
    goes_on(first, second, b'"messages"')
    mail, key = (found.decode() for found in list(dict.fromkeys(HOLDER.findall(first)))[:2])
    told = json.loads(second)["messages"][1]
    assert json.loads(told["tool_calls"][0]["function"]["arguments"]) == {"to": mail, "key": key}


# Responses: encrypted reasoning passes as it is, its summary does not.


def reasoning(request_, _):
    mail = holders(request_)[0]
    output = [
        {"type": "reasoning", "id": "rs_1", "encrypted_content": "gAAAA" + "B" * 80, "summary": [{"type": "summary_text", "text": mail}]},
        {"type": "function_call", "id": "fc_1", "call_id": "c1", "name": "send", "arguments": json.dumps({"to": mail})},
    ]  # fmt: skip
    usage = {"input_tokens": 9, "output_tokens": 7, "total_tokens": 16}
    return body({"id": "r", "object": "response", "status": "completed", "output": output, "usage": usage})


def test_responses(running):
    asked = {"model": "oai", "input": [{"role": "user", "content": FIRST}]}
    answer, first = ask(running, "/v1/responses", asked, reasoning)
    thought, call = output = answer.json()["output"]
    assert thought["summary"][0]["text"] == EMAIL
    assert json.loads(call["arguments"]) == {"to": EMAIL}
    turns = [*asked["input"], *output, {"type": "function_call_output", "call_id": "c1", "output": "done"}]
    _, second = ask(running, "/v1/responses", asked | {"input": turns}, reasoning)
    goes_on(first, second, b'"input"')
    told = json.loads(second)["input"]
    assert (told[1]["id"], told[1]["encrypted_content"]) == ("rs_1", thought["encrypted_content"])
    assert told[2]["call_id"] == "c1"


# generateContent: thoughts and their signatures.


def gemini(request_, _):
    mail, key, _ = holders(request_)
    parts = [
        {"text": f"I use {mail}.", "thought": True, "thoughtSignature": "c2ln"},
        {"functionCall": {"name": "send", "args": {"to": mail, "key": key}}, "thoughtSignature": "c2ln"},
    ]
    candidate = {"content": {"parts": parts, "role": "model"}, "finishReason": "STOP", "index": 0}
    counts = {"promptTokenCount": 9, "candidatesTokenCount": 7, "totalTokenCount": 16}
    return body({"candidates": [candidate], "usageMetadata": counts})


def test_generate_content(running):
    path = "/v1beta/models/goo:generateContent"
    asked = {"contents": [{"role": "user", "parts": [{"text": FIRST}]}]}
    answer, first = ask(running, path, asked, gemini)
    mail = HOLDER.search(first)[0].decode()
    thought, call = answer.json()["candidates"][0]["content"]["parts"]
    assert thought["text"] == f"I use {mail}."
    assert call["functionCall"]["args"] == {"to": EMAIL, "key": KEY}
    result = {"functionResponse": {"name": "send", "response": {"to": EMAIL}}}
    turns = [*asked["contents"], {"role": "model", "parts": [thought, call]}, {"role": "user", "parts": [result]}]
    _, second = ask(running, path, {"contents": turns}, gemini)
    goes_on(first, second, b'"parts"')
    told = json.loads(second)["contents"]
    assert told[1]["parts"][0] == thought
    assert told[1]["parts"][1]["functionCall"]["args"]["to"] == mail
    assert told[1]["parts"][1]["thoughtSignature"] == "c2ln"


def test_what_agents_always_send_is_not_blocked(tmp_path):
    rule = "End commits with: Co-Authored-By: Claude <noreply@anthropic.com>, remote git@github.com:acme/widgets.git"
    with RawProvider() as peer:
        gateway = GatewayProcess(
            tmp_path,
            {"anthropic": provider("anthropic", peer.url)},
            [model("ant", "anthropic")],
            {"policy": {"secrets": "block"}},
        )
        with gateway:
            token = gateway.session("user", 1_000)["access_token"]
            usage = {"input_tokens": 9, "output_tokens": 7}
            told = {"id": "m", "type": "message", "role": "assistant", "model": "ant", "content": [], "stop_reason": "end_turn", "usage": usage}  # fmt: skip
            asked = {"model": "ant", "max_tokens": 9, "system": rule, "messages": [{"role": "user", "content": "hi"}]}
            ask((gateway, peer, token), "/v1/messages", asked, body(told))


@pytest.mark.parametrize("streamed", [False, True])
def test_an_answer_that_says_that_reasoning_was_dropped_is_counted(running, streamed):
    series = 'codegrex_reasoning_dropped_total{provider="anthropic"}'
    before = metric(running[0], series)
    dropped = [{"type": "thinking_dropped", "path": "messages.1.content.0", "reason": "end_user_binding_mismatch"}]
    message = {"type": "message", "content": [], "model": "ant", "usage": {"input_tokens": 9, "output_tokens": 1}}
    for told in ([], dropped):
        said = {**message, "input_transformations": told}
        script = body({**said, "stop_reason": "end_turn"})
        if streamed:
            end = {"type": "message_delta", "delta": {"stop_reason": "end_turn"}, "usage": {"output_tokens": 1}}
            parts = [{"type": "message_start", "message": said}, end, {"type": "message_stop"}]
            script = stream([data_event(part, part["type"]) for part in parts])
        asked = {"model": "ant", "max_tokens": 9, "stream": streamed, "messages": [{"role": "user", "content": "hi"}]}
        answer, _ = ask(running, "/v1/messages", asked, script)
        assert answer.headers.get("x-reasoning-dropped") == ("true" if told else None)
    eventually(lambda: metric(running[0], series), lambda count: count == before + 1)
