"""``init``: what it writes is a configuration that `check` accepts."""

from __future__ import annotations

import os
import pty
import subprocess
from itertools import product
from pathlib import Path

import pytest

from benchmarks import processes
from benchmarks.simulator import make_certificates
from gateway import variables
from gateway.cli.init import KEYS, STATED_DAYS, Entrance, compose
from gateway.config.load import load
from tests import fork_server

ENVIRONMENT = {names[0]: "sk-test" for names in KEYS.values()}


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return fork_server.run(arguments, {**variables.for_child(), **ENVIRONMENT})


def test_every_answer_gives_a_configuration_that_loads(tmp_path: Path) -> None:
    certificates = make_certificates(tmp_path)
    stores = ("embedded:", "redis://valkey:6379", "redis+cluster://a:1", "env:STORE")
    names = (("openai",), ("google", "anthropic"), tuple(KEYS))
    for entrance, store, providers in product(Entrance, stores, names):
        file = tmp_path / "gateway.toml"
        cert, key = str(certificates.cert_file), str(certificates.key_file)
        file.write_text(compose(providers, store, entrance, cert=cert, key=key))
        config = load(file, {**ENVIRONMENT, "STORE": "redis://127.0.0.1:1"})
        assert tuple(config.providers) == providers
        assert (config.server.tls_cert is not None) == (entrance is Entrance.TLS)
        assert config.server.behind_tls_proxy == (entrance is Entrance.PROXY)


def test_what_it_states_of_providers_is_what_the_example_states() -> None:
    example = load(Path(__file__).parents[3] / "gateway.example.toml", need_keys=False)
    assert {name: one.handling.retention_days for name, one in example.providers.items()} == STATED_DAYS


def test_options_alone_write_a_file_that_check_accepts(tmp_path: Path) -> None:
    file = tmp_path / "gateway.toml"
    done = run(
        "init", "--yes", "--providers", "openai, anthropic", "--data-dir", str(tmp_path / "d"), "--output", str(file)
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "set OPENAI_API_KEY, ANTHROPIC_API_KEY, then: codegrex-gateway check" in done.stdout
    checked = run("check", "--config", str(file))
    assert checked.returncode == 0, checked.stderr
    assert checked.stdout.endswith("the configuration is valid\n")
    assert load(file, ENVIRONMENT).server.data_dir == tmp_path / "d"
    before = file.read_text()
    again = run("init", "--yes", "--output", str(file))
    assert (again.returncode, file.read_text()) == (1, before)
    assert "--force" in again.stderr
    assert run("init", "--yes", "--output", str(file), "--force").returncode == 0
    assert file.read_text() != before


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        ((), 1, "standard input is no terminal; state --providers, --store and --listen, or --yes"),
        (("--yes", "--providers", "acme"), 2, "name one or more of openai, anthropic, google"),
        (("--yes", "--store", "redis://:secret@host:1"), 2, "put an address with a password into a variable"),
    ],
)
def test_what_it_refuses(tmp_path: Path, arguments: tuple[str, ...], code: int, said: str) -> None:
    done = run("init", "--output", str(tmp_path / "g.toml"), *arguments)
    assert done.returncode == code
    assert said in " ".join(done.stderr.split())
    assert "secret" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_certificate_that_is_missing_is_named(tmp_path: Path) -> None:
    done = run("init", "--yes", "--listen", "tls", "--output", str(tmp_path / "gateway.toml"))
    assert done.returncode == 0
    assert "fix server.tls_cert: is not a readable file" in done.stdout


def test_three_questions_at_a_terminal(tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    file = tmp_path / "gateway.toml"
    command = [*variables.python("gateway"), "init", "--output", str(file)]
    process = processes.start(command, stdin=theirs, stdout=theirs, stderr=theirs, env=variables.for_child())
    os.close(theirs)
    said = b""
    try:
        for question, answer in ((b"Whose keys", b"google"), (b"Where are accounts", b""), (b"Who connects", b"proxy")):
            while question not in said or not said.rstrip().endswith(b"]:"):
                said += os.read(ours, 4096)
            os.write(ours, answer + b"\n")
            said = b""
        assert process.wait(60) == 0
    finally:
        process.kill()
        os.close(ours)
    text = file.read_text()
    assert "[providers.google]" in text
    assert "behind_tls_proxy = true" in text
