"""Switches that print, dump or hand out keys are gone once the command serves."""

import json
import os

import pytest

from gateway.hardening.environment import SWITCHES, clean

RESTART = """
    environment.restart_clean(["--version"])
    print("went on")
"""


def test_a_clean_environment_keeps_the_rest():
    planted = {"SSLKEYLOGFILE": "keys", "PYTHONDEVMODE": "1", "SSL_CERT_FILE": "ca", "SSL_CERT_DIR": "/ca"}
    loaded = {"OPENSSL_CONF": "c", "LD_PRELOAD": "x.so", "LD_LIBRARY_PATH": "/x", "GLIBC_TUNABLES": "t"}
    assert clean({"PATH": "/bin", "PYTHONPATH": "x", **planted, **loaded}) == {
        "PATH": "/bin",
        "PYTHONPATH": "x",
        "PYTHON_DISABLE_REMOTE_DEBUG": "1",
    }


def test_what_is_clean_goes_on(run):
    assert run(RESTART, env=clean(os.environ)).stdout == "went on\n"


def on(name: str, folder) -> str:
    values = {"PYTHONMALLOC": "debug", "PYTHONWARNINGS": "always", "PYTHONDUMPREFSFILE": str(folder / "refs")}
    return {**values, "SSLKEYLOGFILE": str(folder / "keys")}.get(name, "1")


@pytest.mark.parametrize(
    "names",
    [SWITCHES, {"PYTHONDEVMODE"}, {"LD_AUDIT_NOTHING"}],
    ids=["all", "dev", "loader"],
)
def test_the_command_starts_once_more_without_them(run, names, tmp_path):
    done = run(RESTART, env={**clean(os.environ), **{name: on(name, tmp_path) for name in names}})
    assert done.stdout.splitlines()[-1].startswith("codegrex-gateway "), done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--config", "none.toml"]], ids=["nothing", "check"])
def test_every_command_forgets_the_key_log_first(run, tmp_path, arguments):
    """The folder is missing, so that any context that is made with it raises."""
    script = f"""
        from gateway.cli import main
        try:
            main({arguments!r})
        except SystemExit:
            pass
        import aiohttp  # makes a context when it is imported
        print([name for name in os.environ if name.startswith(("SSL", "OPENSSL"))])
    """
    done = run(script, env={**os.environ, "SSLKEYLOGFILE": str(tmp_path / "missing/keys"), "SSL_CERT_FILE": "x"})
    assert done.stdout.splitlines()[-1] == "[]"


def test_debugging_is_seen(run):
    for env, option in (({"PYTHONDEVMODE": "1"}, True), ({"PYTHONTRACEMALLOC": "1"}, True), ({}, False)):
        done = run("print(json.dumps(environment.debugging()))", env={**clean(os.environ), **env})
        assert json.loads(done.stdout) is option


def test_what_tls_reads_is_taken_from_the_process_without_a_new_start(run):
    script = """
        environment.restart_clean(["--version"])
        print([name for name in os.environ if name.startswith(("SSL", "OPENSSL"))])
    """
    planted = {"SSLKEYLOGFILE": "/nowhere/keys", "SSL_CERT_FILE": "/nowhere/ca", "OPENSSL_CONF": "/nowhere/conf"}
    assert run(script, env={**clean(os.environ), **planted}).stdout == "[]\n"
