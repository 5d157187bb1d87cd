"""Which engine has a model: from what engines answer, over real sockets."""

import asyncio

import pytest

from gateway.errors import LocalMode, ModelNotFound, ProviderUnavailable
from gateway.local import directory
from gateway.local.address import Tcp, parse_address
from gateway.local.directory import Directory
from providers.dialect import Operation
from providers.local.engines import PORTS, EngineKind
from tests.local_process import ScriptedEngine, chat_engine, models, ollama, reply

BAD = reply(400, {"error": {"message": "model is required"}})


def directory_of(*engines, usual_ports=False):
    return Directory(
        asyncio.get_running_loop(), [parse_address(one.address) for one in engines], usual_ports=usual_ports
    )


async def test_an_engine_that_knows_chat_alone():
    with ScriptedEngine(chat_engine("a", "b")) as engine:
        [found] = await directory_of(engine).look()
        assert (found.kind, found.models) == (EngineKind.OTHER, ("a", "b"))
        assert found.native == {Operation.OPENAI_CHAT, Operation.OPENAI_COMPLETIONS, Operation.OPENAI_EMBEDDINGS}
        assert engine.asked("POST /v1/messages") == [b"{}"]  # looking sends nothing of anybody's


async def test_an_engine_that_has_more():
    table = {
        "GET /v1/models": models("m", owner="llamacpp"),
        "POST /v1/messages": BAD,
        "POST /v1/messages/count_tokens": BAD,
        "POST /v1/responses": BAD,
    }
    with ScriptedEngine(table, "::1") as engine:
        [found] = await directory_of(engine).look()
        assert found.kind is EngineKind.LLAMA_CPP
        assert found.native >= {
            Operation.ANTHROPIC_MESSAGES,
            Operation.ANTHROPIC_COUNT_TOKENS,
            Operation.OPENAI_RESPONSES,
        }


async def test_ollama_s_names():
    with ScriptedEngine(ollama(None, {"name": "llama3:latest"}, {"name": "mine:7b"})) as engine:
        found = directory_of(engine)
        for asked, named in (
            ("llama3", "llama3:latest"),
            ("llama3:latest", "llama3:latest"),
            ("ollama/mine:7b", "mine:7b"),
        ):
            assert (await found.find(asked))[1] == named
        with pytest.raises(ModelNotFound):
            await found.find("mine")


@pytest.mark.parametrize("name", ["kimi:cloud", "gpt-oss:120b-cloud", "ollama/kimi:cloud", "copied", "copied:latest"])
async def test_models_of_a_cloud_are_refused(name):
    table = ollama(None, {"name": "copied:latest", "remote_host": "https://cloud.test", "remote_model": "big"})
    with ScriptedEngine(table) as engine, pytest.raises(LocalMode):
        await directory_of(engine).find(name)


@pytest.mark.parametrize(
    "shown", [reply(200, {"details": {}, "remote_host": "https://cloud.test"}), reply(200, b"?"), reply(500), b""]
)
async def test_a_model_that_ollama_does_not_vouch_for_is_refused(shown):
    table = ollama(None, {"name": "a:latest"}) | {"POST /api/show": shown}
    with ScriptedEngine(table) as engine, pytest.raises((LocalMode, ProviderUnavailable, Exception)) as caught:
        await directory_of(engine).find("a")
    assert caught.value.status in {403, 502}


async def test_two_engines_with_one_name():
    with (
        ScriptedEngine(ollama(None, {"name": "m"})) as first,
        ScriptedEngine({"GET /v1/models": models("m", "n", owner="vllm")}) as second,
    ):
        found = directory_of(first, second)
        assert (await found.find("m"))[0].kind is EngineKind.OLLAMA
        assert (await found.find("vllm/m"))[0].kind is EngineKind.VLLM
        assert (await found.find("n"))[0].kind is EngineKind.VLLM
        assert [name for name, _ in found.names()] == ["m", "vllm/m", "n"]


async def test_no_engine_and_no_model():
    nothing = Directory(asyncio.get_running_loop(), [Tcp("127.0.0.1", 1)], usual_ports=False)
    with pytest.raises(ProviderUnavailable):
        await nothing.find("m")
    with ScriptedEngine(chat_engine("a")) as engine, pytest.raises(ModelNotFound):
        await directory_of(engine).find("m")


async def test_an_engine_that_begins_to_list_a_model_is_found_at_once():
    with ScriptedEngine(chat_engine("a")) as engine:
        found = directory_of(engine)
        await found.look()
        engine.table["GET /v1/models"] = models("a", "new")
        assert (await found.find("new"))[1] == "new"


async def test_on_usual_ports_only_known_engines_are_taken(monkeypatch):
    with (
        ScriptedEngine(chat_engine("a")) as unknown,
        ScriptedEngine({"GET /v1/models": models("m", owner="vllm")}) as known,
    ):
        monkeypatch.setattr(directory, "PORTS", {EngineKind.OLLAMA: unknown.port, EngineKind.VLLM: known.port})
        found = directory_of(usual_ports=True)
        assert [engine.kind for engine in await found.look()] == [EngineKind.VLLM]
        with pytest.raises(ModelNotFound):
            await found.find("a")


async def test_one_engine_on_both_loopback_addresses_is_one_engine(monkeypatch):
    with (
        ScriptedEngine(ollama(None, {"name": "m"})) as first,
        ScriptedEngine(ollama(None, {"name": "m"}), "::1", port=first.port) as second,
    ):
        monkeypatch.setattr(directory, "PORTS", {EngineKind.OLLAMA: first.port})
        [engine] = await directory_of(usual_ports=True).look()
        assert engine.address == Tcp("127.0.0.1", second.port)


def test_the_usual_ports():
    assert {kind.value: port for kind, port in PORTS.items()} == {
        "ollama": 11434,
        "llama.cpp": 8080,
        "lmstudio": 1234,
        "vllm": 8000,
    }


@pytest.mark.parametrize(
    "answer",
    [reply(401), reply(200, b"hello"), reply(302, headers={"location": "http://example.test/"}), b"", b"\x16\x03\x01"],
)
async def test_what_is_no_engine(answer):
    with ScriptedEngine({"GET /v1/models": answer}) as engine:
        assert await directory_of(engine).look() == ()
