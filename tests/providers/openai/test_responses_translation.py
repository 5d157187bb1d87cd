"""Responses requests and answers through the hub: every kind of item and tool, there and back, as the SDK reads them."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from providers.conversation.failures import UNREADABLE
from providers.conversation.translator import translate
from providers.dialect import Operation, Refusal
from providers.openai.chat_reader import ChatEvents
from providers.openai.responses_writer import ResponseWriter

EVENT = TypeAdapter(ResponseStreamEvent)
SCHEMA = {"type": "object", "properties": {"path": {"type": "string"}}}
TOOLS = [
    {"type": "function", "name": "read", "description": "Reads.", "parameters": SCHEMA, "strict": False},
    {"type": "custom", "name": "patch", "description": "Patches.", "format": {"type": "text"}},
    {"type": "namespace", "name": "crm", "tools": [{"type": "function", "name": "find", "parameters": SCHEMA}]},
]
PIXEL = "data:image/png;base64,aGk="


def made(**members):
    body = json.dumps({"model": "m", "input": "hi", "tools": TOOLS, **members}).encode()
    return translate(Operation.OPENAI_RESPONSES, body, model="mine", target="theirs", identity="id1", sse=True)


def asked(**members):
    return json.loads(made(**members).body)


def message(role, *parts, kind="input_text"):
    return {"type": "message", "role": role, "content": [{"type": kind, "text": part} for part in parts]}


def test_a_conversation_of_an_agent():
    body = asked(
        instructions="Be brief.",
        input=[
            message("developer", "Rules."),
            message("user", "one", "two"),
            {"type": "reasoning", "id": "rs", "summary": [], "encrypted_content": "x"},
            {"type": "function_call", "call_id": "a", "name": "read", "arguments": '{"path":"p"}'},
            {"type": "custom_tool_call", "call_id": "b", "name": "patch", "input": 'a "patch"\n'},
            {"type": "function_call", "call_id": "c", "namespace": "crm", "name": "find", "arguments": "{}"},
            {"type": "function_call_output", "call_id": "a", "output": "text"},
            {"type": "custom_tool_call_output", "call_id": "b", "output": [{"type": "input_text", "text": "done"}]},
            {"type": "function_call_output", "call_id": "c", "output": [{"type": "input_image", "image_url": PIXEL}]},
            message("assistant", "fine", kind="output_text"),
            {"role": "user", "content": [{"type": "input_file", "file_data": "x"}]},
        ],
    )
    system, user, calls, *results, shown, said, last = body["messages"]
    assert system == {"role": "system", "content": "Be brief.\n\nRules."}
    assert user == {"role": "user", "content": "one\n\ntwo"}
    functions = [call["function"] for call in calls["tool_calls"]]
    assert [(call["name"], json.loads(call["arguments"])) for call in functions] == [
        ("read", {"path": "p"}),
        ("patch", {"input": 'a "patch"\n'}),
        ("crm__find", {}),
    ]
    assert [(one["tool_call_id"], one["content"]) for one in results] == [("a", "text"), ("b", "done"), ("c", "")]
    assert shown["content"][0]["image_url"]["url"] == PIXEL
    assert said == {"role": "assistant", "content": "fine"}
    assert "left out" in last["content"]
    assert [tool["function"]["name"] for tool in body["tools"]] == ["read", "patch", "crm__find"]


def test_tools_that_an_item_adds():
    item = {"type": "additional_tools", "role": "developer", "id": "at", "tools": TOOLS[1:]}
    body = asked(tools=TOOLS[:1], input=[item, message("user", "hi")])
    assert [tool["function"]["name"] for tool in body["tools"]] == ["read", "patch", "crm__find"]
    assert body["messages"] == [{"role": "user", "content": "hi"}]


@pytest.mark.parametrize(
    ("choice", "sent"),
    [
        ("auto", "auto"),
        ("none", "none"),
        ("required", "required"),
        ({"type": "function", "name": "read"}, {"type": "function", "function": {"name": "read"}}),
        ({"type": "custom", "name": "patch"}, {"type": "function", "function": {"name": "patch"}}),
        ({"type": "allowed_tools", "mode": "required", "tools": [{"type": "function", "name": "read"}]}, "required"),
    ],
)
def test_the_choice_of_a_tool(choice, sent):
    body = asked(tool_choice=choice)
    assert body["tool_choice"] == sent
    assert len(body["tools"]) == (1 if "allowed_tools" in str(choice) else 3)


def test_sampling_and_form():
    form = {"type": "json_schema", "name": "f", "schema": SCHEMA, "strict": True}
    body = asked(max_output_tokens=9, temperature=0.5, top_p=0.9, text={"format": form}, parallel_tool_calls=False)
    assert (body["max_tokens"], body["temperature"], body["top_p"]) == (9, 0.5, 0.9)
    assert body["response_format"]["json_schema"]["schema"] == SCHEMA
    assert body["parallel_tool_calls"] is False


@pytest.mark.parametrize(
    ("members", "code"),
    [
        ({"input": 5}, "invalid_request"),
        ({"input": [{"role": "narrator", "content": "x"}]}, "invalid_request"),
        ({"input": [{"type": "item_reference", "id": "x"}]}, "unsupported_feature"),
        ({"input": [{"type": "computer_call", "call_id": "x"}]}, "unsupported_feature"),
        ({"input": [{"role": "user", "content": [{"type": "input_image", "image_url": "https://x"}]}]}, "unsupported_feature"),
        ({"tools": [{"type": "local_shell"}]}, "unsupported_feature"),
        ({"tool_choice": {"type": "function", "name": "other"}}, "invalid_request"),
        ({"tool_choice": "maybe"}, "invalid_request"),
    ],
)  # fmt: skip
def test_what_has_no_place_in_chat_is_refused(members, code):
    with pytest.raises(Refusal) as refused:
        made(**members)
    assert refused.value.code == code


def chunk(delta=None, finish=None, usage=None):
    choices = [] if usage else [{"index": 0, "delta": delta or {}, "finish_reason": finish}]
    return b"data: " + json.dumps({"choices": choices, **({"usage": usage} if usage else {})}).encode() + b"\n\n"


def call(index, name, *pieces):
    first = {"index": index, "id": f"call{index}", "function": {"name": name, "arguments": pieces[0]}}
    yield chunk({"tool_calls": [first]})
    for piece in pieces[1:]:
        yield chunk({"tool_calls": [{"index": index, "function": {"arguments": piece}}]})


USAGE = {
    "prompt_tokens": 7,
    "completion_tokens": 5,
    "prompt_tokens_details": {"cached_tokens": 2},
    "completion_tokens_details": {"reasoning_tokens": 1},
}
PATCH = 'a "patch"\n'
STREAM = b"".join(
    (
        chunk({"role": "assistant", "reasoning_content": "hmm"}),
        chunk({"content": "Grü"}),
        chunk({"content": "ße"}),
        *call(0, "read", '{"path":', '"p"}'),
        *call(1, "patch", *json.dumps({"input": PATCH})),
        *call(2, "crm__find", "{}"),
        chunk(finish="tool_calls"),
        chunk(usage=USAGE),
        b"data: [DONE]\n\n",
    )
)


def read(out):
    """The events as the SDK's types read them, which is how a client of Codex' or the SDK's does."""
    events = [json.loads(part.partition(b"data: ")[2]) for part in out.split(b"\n\n") if part]
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    for event in events:
        EVENT.validate_python(event)
    return events


def test_a_stream_with_everything():
    stream = made(reasoning={"effort": "high", "summary": "auto"}, stream=True).stream()
    events = read(stream.feed(STREAM) + (b"" if stream.ended else stream.finish()))
    assert stream.ended
    assert stream.events == len(events)
    assert [event["type"] for event in events[:2]] == ["response.created", "response.in_progress"]
    response = Response.model_validate(events[-1]["response"])
    assert (events[-1]["type"], response.status, response.output_text) == ("response.completed", "completed", "Grüße")
    thought, said, function, custom, grouped = response.output
    assert thought.summary[0].text == "hmm"
    assert said.status == "completed"
    assert (function.call_id, function.name, function.arguments) == ("call0", "read", '{"path":"p"}')
    assert (custom.type, custom.name, custom.input) == ("custom_tool_call", "patch", PATCH)
    assert (grouped.namespace, grouped.name) == ("crm", "find")
    usage = response.usage
    assert (usage.input_tokens, usage.output_tokens, usage.total_tokens) == (7, 5, 12)
    assert (usage.input_tokens_details.cached_tokens, usage.output_tokens_details.reasoning_tokens) == (2, 1)
    done = [event["item"] for event in events if event["type"] == "response.output_item.done"]
    assert done == events[-1]["response"]["output"]
    added = [event["item"]["id"] for event in events if event["type"] == "response.output_item.added"]
    assert added == [item["id"] for item in done]
    text = "".join(event["delta"] for event in events if event["type"] == "response.output_text.delta")
    assert text == "Grüße"


def test_thoughts_are_for_those_who_ask():
    out = made(stream=True).stream().feed(STREAM)
    assert b"hmm" not in out


@pytest.mark.parametrize(
    ("finish", "status", "why"), [("length", "incomplete", "max_output_tokens"), ("content_filter", "incomplete", "content_filter"), ("stop", "completed", None)],
)  # fmt: skip
def test_why_it_ended(finish, status, why):
    answer = {"choices": [{"index": 0, "message": {"content": "hi"}, "finish_reason": finish}], "usage": USAGE}
    found = Response.model_validate_json(made().whole(json.dumps(answer).encode()))
    assert (found.status, found.output_text) == (status, "hi")
    assert (found.incomplete_details.reason if found.incomplete_details else None) == why


def test_a_call_whose_arguments_are_no_object_fails_the_answer():
    stream = made(stream=True).stream()
    out = stream.feed(b"".join((*call(0, "read", "[1]"), chunk(finish="tool_calls"), b"data: [DONE]\n\n")))
    assert not stream.ended
    assert stream.error is UNREADABLE
    assert b"response.completed" not in out


@given(st.lists(st.sampled_from([*STREAM.split(b"\n\n")[:-2]]), max_size=12))
def test_whatever_the_engine_says_the_events_are_well_formed(parts):
    """In any order, some of them twice: each item opens once, closes once and before the next, and the end is the last."""
    writer = ResponseWriter("i", "m", tools=made().conversation.tools, reasoning=True)
    events = ChatEvents()
    out = b"".join(writer.write(events.feed(part + b"\n\n")) for part in parts)
    out += writer.write(events.finish()) + writer.end()
    open_ = None
    kinds = []
    for event in read(out):
        kinds.append(event["type"])
        if event["type"] == "response.output_item.added":
            assert open_ is None
            open_ = event["item"]["id"]
        elif event["type"] == "response.output_item.done":
            assert open_ == event["item"]["id"]
            open_ = None
    assert writer.failed or "response.completed" in kinds[-1:]
    assert kinds.count("response.completed") <= 1
