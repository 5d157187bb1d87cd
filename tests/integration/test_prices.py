"""What a provider bills is what its caller pays, to the micro-credit: published prices, tools, contexts, tiers."""

import contextlib
import json
from decimal import Decimal

import pytest

from tests.gateway_process import GatewayProcess, model, provider
from tests.integration.conftest import Running, eventually
from tests.raw_http import RawClient, ask, request
from tests.raw_provider import RawProvider, body, data_event, stream

TOOLS = [
    "openai_web_search",
    "openai_web_search_preview",
    "openai_image_generation",
    "openai_file_search",
    "gemini_google_search",
    "gemini_google_maps",
    "anthropic_web_search",
    "anthropic_code_execution",
    "xai_live_search",
]
MESSAGES = [{"role": "user", "content": "hi"}]


@pytest.fixture(scope="module")
def raw():
    with RawProvider() as raw:
        yield raw


@pytest.fixture(scope="module")
def running(raw, tmp_path_factory):
    """A gateway with the published prices of the three makers, whose tools are all allowed."""
    folder = tmp_path_factory.mktemp("prices")
    makers = {kind: provider(kind, raw.url) for kind in ("openai", "anthropic", "google")}
    with GatewayProcess(folder, makers, [], {"policy": {"server_tools": TOOLS}}) as gateway:
        yield Running(gateway, None, gateway.session(credits_=1_000_000)["access_token"])


def send(running, path, asked, headers=()):
    return ask(running.url, request("POST", path, json.dumps(asked).encode(), headers=running.auth | dict(headers)))


def usd(amount):
    """Micro-credits, at a cent a credit."""
    return int(Decimal(str(amount)) * 100_000_000)


# -- what is billed ------------------------------------------------------------------------------


def chat(name, prompt=300, output=400, into=None, out=None, **more):
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": prompt + output}
    usage |= {"prompt_tokens_details": into or {}, "completion_tokens_details": out or {}}
    choice = {"index": 0, "message": {"role": "assistant", "content": "hi"}, "finish_reason": "stop"}
    answer = {"id": "x", "object": "chat.completion", "model": name, "choices": [choice], "usage": usage, **more}
    return "/v1/chat/completions", {"model": name, "messages": MESSAGES}, answer


def responses(name, tool, *output, **more):
    usage = {"input_tokens": 300, "output_tokens": 400, "total_tokens": 700}
    answer = {
        "id": "r",
        "object": "response",
        "status": "completed",
        "model": name,
        "output": list(output),
        "usage": usage,
    }
    return "/v1/responses", {"model": name, "input": "x", "tools": [{"type": tool}]}, answer | more


def call(kind, action="search", status="completed"):
    return {"type": kind, "id": "c", "status": status, "action": {"type": action}}


def gemini(name, usage, tool=None, grounding=None, verb="generateContent"):
    candidate = {"content": {"parts": [{"text": "hi"}], "role": "model"}, "finishReason": "STOP", "index": 0}
    candidate |= {"groundingMetadata": grounding} if grounding else {}
    asked = {"contents": [{"role": "user", "parts": [{"text": "hi"}]}]} | ({"tools": [{tool: {}}]} if tool else {})
    answer = {"candidates": [candidate], "usageMetadata": usage, "modelVersion": name}
    return f"/v1beta/models/{name}:{verb}", asked, answer


def modalities(**tokens):
    return [{"modality": kind, "tokenCount": number} for kind, number in tokens.items()]


def embedding(name, **tokens):
    usage = {"promptTokenCount": sum(tokens.values()), "promptTokensDetails": modalities(**tokens)}
    asked = {"content": {"parts": [{"text": "x"}]}}
    return f"/v1beta/models/{name}:embedContent", asked, {"embedding": {"values": [0.1]}, "usageMetadata": usage}


def message(name, **usage):
    asked = {"model": name, "max_tokens": 100, "messages": MESSAGES}
    asked["tools"] = [{"type": "web_search_20250305", "name": "web_search"}]
    answer = {"id": "m", "type": "message", "role": "assistant", "model": name, "stop_reason": "end_turn"}
    return "/v1/messages", asked, answer | {"content": [{"type": "text", "text": "x"}], "usage": usage}


SHORT = {"promptTokenCount": 100, "candidatesTokenCount": 100, "totalTokenCount": 200}
CACHED = {
    "promptTokenCount": 101_000,
    "cachedContentTokenCount": 100_000,
    "candidatesTokenCount": 10,
    "totalTokenCount": 101_010,
    "promptTokensDetails": modalities(AUDIO=100_000, TEXT=1_000),
    "cacheTokensDetails": modalities(AUDIO=100_000),
}
TURNS = [{"type": "message", "input_tokens": 60_000, "output_tokens": 100}] * 4
LONG = {"type": "message", "input_tokens": 200_001, "output_tokens": 10}

BILLED = {
    "search models": (chat("gpt-4o-search-preview"), Decimal("0.00475") + Decimal("0.025")),
    "mini search model": (chat("gpt-4o-mini-search-preview"), Decimal("0.000285") + Decimal("0.025")),
    "search API": (chat("gpt-5-search-api"), Decimal("0.004375") + Decimal("0.01")),
    "audio in and out": (
        chat("gpt-audio", 1_100, 600, {"audio_tokens": 1_000}, {"audio_tokens": 500}),
        Decimal(100 * 10 + 500 * 64 + 1_000 * 32) / 10**6 + Decimal("0.00025"),
    ),
    "cached audio": (gemini("gemini-2.5-flash", CACHED), Decimal("0.010325")),
    "cached audio of an older model": (gemini("gemini-2.0-flash", CACHED), Decimal("0.017604")),
    "video": (embedding("gemini-embedding-2", VIDEO=5_000), Decimal("0.06")),
    "audio": (embedding("gemini-embedding-2", AUDIO=5_000), Decimal("0.0325")),
    "an image": (
        gemini(
            "gemini-2.5-flash-image",
            {
                "promptTokenCount": 10,
                "candidatesTokenCount": 1_290,
                "totalTokenCount": 1_300,
                "candidatesTokensDetails": modalities(IMAGE=1_290),
            },
        ),
        Decimal("0.038703"),
    ),
    "preview searches": (
        responses("gpt-4o", "web_search_preview", call("web_search_call"), call("web_search_call")),
        Decimal("0.00475") + Decimal("0.05"),
    ),
    "preview searches of a model that reasons": (
        responses("gpt-5", "web_search_preview", call("web_search_call")),
        Decimal("0.004375") + Decimal("0.01"),
    ),
    "one search and three pages": (
        responses("gpt-5", "web_search", call("web_search_call"), *[call("web_search_call", "open_page")] * 3),
        Decimal("0.004375") + Decimal("0.01"),
    ),
    "a search that failed": (
        responses("gpt-5", "web_search", call("web_search_call"), call("web_search_call", status="failed")),
        Decimal("0.004375") + Decimal("0.01"),
    ),
    "a file search": (
        responses("gpt-5", "file_search", call("file_search_call")),
        Decimal("0.004375") + Decimal("0.0025"),
    ),
    "a grounded answer": (
        gemini("gemini-2.5-flash", SHORT, "google_search", {"webSearchQueries": ["a", "b"]}),
        Decimal("0.00028") + Decimal("0.035"),
    ),
    "three queries": (
        gemini("gemini-3-flash-preview", SHORT, "google_search", {"webSearchQueries": ["a", "b", "c"]}),
        Decimal("0.00035") + Decimal("0.042"),
    ),
    "image queries": (
        gemini("gemini-3-flash-preview", SHORT, "google_search", {"imageSearchQueries": ["a", "b"]}),
        Decimal("0.00035") + Decimal("0.028"),
    ),
    "maps": (
        gemini("gemini-2.5-flash", SHORT, "googleMaps", {"groundingChunks": [{"maps": {"uri": "u"}}]}),
        Decimal("0.00028") + Decimal("0.025"),
    ),
    "maps with queries": (
        gemini(
            "gemini-2.5-flash", SHORT, "googleMaps", {"webSearchQueries": ["a"], "groundingChunks": [{"maps": {"uri": "u"}}]}
        ),
        Decimal("0.00028") + Decimal("0.025"),
    ),
    "four turns of 60,000": (
        message("claude-sonnet-4-5", input_tokens=240_000, output_tokens=400, iterations=TURNS,
                server_tool_use={"web_search_requests": 3}),
        Decimal("0.726") + Decimal("0.03"),
    ),
    "one long turn of five": (
        message("claude-sonnet-4-5", input_tokens=440_001, output_tokens=410, iterations=[*TURNS, LONG]),
        Decimal("0.726") + Decimal(200_001 * 6) / 10**6 + Decimal("0.000225"),
    ),
    "a fast tier": (chat("gpt-5", service_tier="priority"), Decimal("0.00875")),
}  # fmt: skip


@pytest.mark.parametrize("case", BILLED)
def test_what_is_charged_is_what_is_billed(running, raw, case):
    (path, asked, answer), amount = BILLED[case]
    raw.script = body(answer)
    record = running.settled(send(running, path, asked).rid)
    assert (record["charge"], record["cost"], record["unpriced"]) == (usd(amount), usd(amount), 0)
    assert record["basis"] == "reported"


REFUSED = {
    "audio without a price of audio": chat("gpt-4o-audio-preview"),
    "the options of a search": (*chat("gpt-4o")[:1], chat("gpt-4o")[1] | {"web_search_options": {}}, {}),
    "live search": (*chat("gpt-4o")[:1], chat("gpt-4o")[1] | {"search_parameters": {"mode": "on"}}, {}),
    "image generation": responses("gpt-5", "image_generation"),
    "code execution": (
        "/v1/messages",
        {"model": "claude-sonnet-4-5", "max_tokens": 9, "messages": [], "tools": [{"type": "code_execution_20250825"}]},
        {},
    ),
    "a tier without a price": (*chat("gpt-4o")[:1], chat("gpt-4o")[1] | {"service_tier": "ultrafast"}, {}),
    "a name that goes on": gemini("gemini-2.5-pro-native-audio", SHORT),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_could_not_be_billed_never_reaches_the_provider(running, raw, case):
    path, asked, _ = REFUSED[case]
    raw.seen.clear()
    answer = send(running, path, asked)
    assert answer.status in (400, 404)
    assert answer.headers["x-error-origin"] == "gateway"
    assert raw.seen == []


def test_by_default_a_model_that_searches_is_refused(raw, tmp_path):
    with GatewayProcess(tmp_path, {"openai": provider("openai", raw.url)}, []) as gateway:
        running = Running(gateway, None, gateway.session()["access_token"])
        raw.seen.clear()
        path, asked, _ = chat("gpt-4o-mini-search-preview")
        answer = send(running, path, asked)
        assert (answer.status, answer.headers["x-error-code"]) == (400, "privacy_unsupported")
        assert "openai_web_search" in answer.body.decode()
        assert raw.seen == []


# -- what the answer states and nobody priced ----------------------------------------------------

UNPRICED = {
    "a tier": chat("gpt-5", service_tier="ultrafast"),
    "a usage member": (*chat("gpt-5")[:2], chat("gpt-5")[2] | {"usage": {
        "prompt_tokens": 300, "completion_tokens": 400, "total_tokens": 700, "hologram_tokens": 5}}),
    "a kind of traffic": gemini("gemini-2.5-flash", SHORT | {"trafficType": "ON_DEMAND_OFFPEAK"}),
    "another model": (*chat("gpt-5")[:2], chat("gpt-4o")[2]),
    "an iteration": message("claude-sonnet-4-5", input_tokens=10, output_tokens=5, iterations=[
        {"type": "message", "input_tokens": 10, "output_tokens": 5},
        {"type": "prophecy", "input_tokens": 7, "output_tokens": 7}]),
    "an advisor that nobody priced": message("claude-sonnet-4-5", input_tokens=10, output_tokens=5, iterations=[
        {"type": "advisor_message", "model": "claude-nobody-1", "input_tokens": 7, "output_tokens": 7}]),
    "an action of a search": responses("gpt-5", "web_search", call("web_search_call", "divination")),
}  # fmt: skip


def unpriced_total(running):
    text = ask(running.gateway.internal, request("GET", "/metrics")).body.decode()
    lines = [line for line in text.splitlines() if line.startswith("codegrex_unpriced_records_total")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in lines)


@pytest.mark.parametrize("case", UNPRICED)
def test_what_has_no_price_is_charged_without_it_and_never_in_silence(running, raw, case):
    path, asked, answer = UNPRICED[case]
    before, seen = unpriced_total(running), running.gateway.log.stat().st_size
    raw.script = body(answer)
    rid = send(running, path, asked).rid
    record = running.settled(rid)
    assert (record["unpriced"], record["outcome"]) == (1, "completed")
    assert record["charge"] > 0
    assert eventually(lambda: unpriced_total(running), lambda total: total > before) == before + 1
    lines = [json.loads(line) for line in running.gateway.log.read_bytes()[seen:].splitlines()]
    (line,) = [line for line in lines if line["event"] == "usage_unpriced"]
    assert (line["rid"], line["model"], line["level"]) == (rid, record["model"], "warning")
    (listed,) = [found for found in running.gateway.usage() if found["rid"] == rid]
    assert listed["unpriced"] == 1


# -- a stream that is left before its end ----------------------------------------------------------


def test_the_searches_of_an_aborted_stream_are_charged(running, raw):
    def begun(index):
        block = {"type": "web_search_tool_result", "tool_use_id": "t", "content": [{"type": "web_search_result"}]}
        return data_event(
            {"type": "content_block_start", "index": index, "content_block": block}, "content_block_start"
        )

    text = {"type": "content_block_delta", "index": 9, "delta": {"type": "text_delta", "text": "<END>"}}
    start = {"type": "message", "role": "assistant", "content": [], "usage": {"input_tokens": 300, "output_tokens": 1}}
    events = [
        data_event({"type": "message_start", "message": start}, "message_start"),
        *(begun(index) for index in range(3)),
        data_event(text, "content_block_delta"),
    ]

    def script(_asked, sock):
        sock.sendall(stream(events, end=False))
        with contextlib.suppress(OSError):
            while sock.recv(1):  # until the gateway leaves
                pass

    raw.script = script
    path, asked, _ = message("claude-sonnet-4-5")
    with RawClient(running.url) as client:
        client.send(request("POST", path, json.dumps(asked | {"stream": True}).encode(), headers=running.auth))
        head = client.head()
        while b"<END>" not in client.chunk():
            pass
    record = running.settled(head.rid)
    assert (record["searches"], record["basis"], record["outcome"]) == (3, "partial", "client_abort")
    assert record["charge"] > usd("0.03")


# -- every target of a failover ---------------------------------------------------------------------


def test_a_target_at_which_the_tool_has_no_price_does_not_answer(raw, tmp_path):
    priced = {"input": 1, "output": 4, "searches": 10_000}
    targets = [
        {"provider": "one", "model": "m", "price": priced},
        {"provider": "two", "model": "m", "price": {"input": 1, "output": 4}},
    ]
    makers = {name: provider("openai", f"{raw.url}/{name}", company="a") for name in ("one", "two")}
    models = [model("m", "one") | {"targets": targets}]
    with GatewayProcess(tmp_path, makers, models, {"policy": {"server_tools": TOOLS}}) as gateway:
        running = Running(gateway, None, gateway.session()["access_token"])
        good = body(responses("m", "web_search", call("web_search_call"))[2])
        raw.script = lambda asked, _: body({"error": {}}, status="503 No") if asked.path.startswith("/one") else good
        raw.seen.clear()
        assert send(running, "/v1/responses", {"model": "m", "input": "x"}).status == 200
        assert [asked.path[:4] for asked in raw.seen] == ["/one", "/two"]
        raw.seen.clear()
        asked = {"model": "m", "input": "x", "tools": [{"type": "web_search"}]}
        assert send(running, "/v1/responses", asked).status == 503
        assert {asked.path[:4] for asked in raw.seen} == {"/one"}
