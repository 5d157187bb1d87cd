"""A program takes nothing from its environment but what is honoured, and starts itself once more if it has to."""

import json
import os
import subprocess
import sys

import pytest

from gateway import variables
from gateway.variables import SWITCHES
from tests.gateway.hardening.conftest import ROOT

# What the interpreter, the loader or TLS would act on, with values that do no harm to a test.
PLANTED = {name: "1" for name in SWITCHES if not name.startswith(("PYTHONHOME", "PYTHONPLATLIBDIR", "LD_", "GLIBC_"))}
PLANTED |= {"LD_PRELOAD": "", "GLIBC_TUNABLES": "glibc.malloc.check=0", "LD_BIND_NOW": "1", "PYTHONMALLOC": "debug"}
SITE = """
import os
with open({mark!r}, "a") as mark:
    mark.write(os.environ.get("ROUND", "none") + "\\n")
"""
REPORT = """
    import gateway.hardening.environment as environment
    from gateway import variables
    variables.narrow()
    environment.restart_clean(["--version"], strict={strict})
    print("went on")
"""


def script(text, *options, **env):
    return subprocess.run(
        [sys.executable, *options, "-c", "\n".join(line[4:] for line in text.splitlines())],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout


@pytest.mark.parametrize("strict", [True, False])
def test_what_is_isolated_and_clean_goes_on(strict):
    assert script(REPORT.format(strict=strict), *variables.ISOLATED, **variables.for_child()) == "went on\n"


@pytest.mark.parametrize(
    ("options", "planted", "strict"),
    [
        ((), {}, True),
        ((), {}, False),
        (variables.ISOLATED, {"UNHEARD_OF": "1"}, True),
        (variables.ISOLATED, {"LD_AUDIT_NOTHING": "1"}, False),
        (variables.ISOLATED, {"PYTHONDEVMODE": "1"}, False),
        ((*variables.ISOLATED, "-X", "dev"), {}, True),
    ],
    ids=["plain", "plain command", "unknown", "loader", "ignored", "dev"],
)
def test_it_starts_once_more(options, planted, strict):
    told = script(REPORT.format(strict=strict), *options, **variables.for_child(), **planted)
    assert told.splitlines()[-1].startswith("codegrex-gateway "), told


def test_what_a_command_may_not_decide_by_itself_stays():
    """A command has not read a configuration yet: it keeps what that may name, and drops only what it never may."""
    told = script(REPORT.format(strict=False), *variables.ISOLATED, **variables.for_child(), UNHEARD_OF="1")
    assert told == "went on\n"


@pytest.mark.parametrize("command", [["privacy", "status", "--json"], ["check", "--json"]])
def test_nothing_that_is_planted_runs_in_a_command_or_is_there_for_it(tmp_path, command):
    mark = tmp_path / "mark"
    (tmp_path / "sitecustomize.py").write_text(SITE.format(mark=str(mark)))
    config = tmp_path / "gateway.toml"
    done = subprocess.run(
        [sys.executable, "-m", "gateway", *command, "--config", str(config)],
        env={**variables.for_child(), **PLANTED, "PYTHONPATH": str(tmp_path), "ROUND": "first", "FOO": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert mark.read_text() == "first\n"  # the interpreter's own doing, before any code of ours; and not once more
    if command[0] == "privacy":
        found = json.loads(done.stdout)
        assert found["here"]["environment_closed"] == "yes"
        told = found["variables_dropped"]
        assert set(told["switches"]) == SWITCHES & ({*PLANTED} | {"PYTHONPATH"})
        assert told["count"] == len({*PLANTED} | {"PYTHONPATH", "ROUND", "FOO"})
        assert "FOO" not in done.stdout


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--config", "none.toml"]], ids=["nothing", "check"])
def test_every_command_forgets_what_tls_reads_first(run, tmp_path, arguments):
    """The folder is missing, so that any context that is made with it raises."""
    script = f"""
        from gateway.cli import main
        try:
            main({arguments!r})
        except SystemExit:
            pass
        import aiohttp  # makes a context when it is imported
        print([name for name in os.environ if not variables.is_kept(name)])
    """
    done = run(script, env={**os.environ, "SSLKEYLOGFILE": str(tmp_path / "missing/keys"), "SSL_CERT_FILE": "x"})
    assert done.stdout.splitlines()[-1] == "[]"


def test_debugging_is_seen(run):
    clean = variables.for_child()
    for env, option in (({"PYTHONDEVMODE": "1"}, True), ({"PYTHONTRACEMALLOC": "1"}, True), ({}, False)):
        done = run("print(json.dumps(environment.debugging()))", env={**clean, **env})
        assert json.loads(done.stdout) is option
