"""There is one way to write anything down: `gateway.telemetry.log`.

Found in the source, not in what a run happens to do.

Rules that every module of the packages obeys:

1. No ``print``, ``logging``, ``warnings``, ``structlog``, ``traceback`` or standard stream outside of
   the modules named here, each with its reason.
2. An exception is never raised ``from`` another one: the other's text and locals would come along.
3. On the data plane, no exception's text is put together from values: a sentence is fixed.
4. Closed names are made where names are read, not where they are logged.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("gateway", "metering", "providers")

SINKS = {"logging", "warnings", "structlog", "traceback", "syslog", "pdb"}
STREAMS = {"stdout", "stderr", "__stdout__", "__stderr__", "displayhook"}

# Where a sink may be used, and why nothing of a request can reach it there.
SINK_OWNERS = {
    "gateway/telemetry/log.py": "the log itself: closed fields alone",
    "gateway/telemetry/quiet.py": "silences them; prints the faults of the operator",
    "gateway/http/server.py": "silences aiohttp's logger",
    "gateway/cli/dev.py": "development: where it serves, and lines to paste",
    "gateway/telemetry/readable.py": "development: one line of closed fields for a person",
    "gateway/hardening/environment.py": "flushes the streams before the program starts anew",
    "gateway/hardening/trial.py": "a command's own process, which serves nothing",
}
# Modules that serve no request: commands and the reading of configuration.
OPERATORS = ("gateway/cli/", "gateway/config/", "gateway/auth/identity.py", "gateway/catalog/published.py")
OPERATORS_OWN = {
    "gateway/accounts/opening.py": "the store's faults at start",
    "gateway/process/supervisor.py": "a port that cannot be listened on",
    "gateway/process/reloading.py": "a provider's certificates that cannot be read any more",
    "gateway/local/isolation.py": "the user's own machine: what the kernel says",
    "gateway/local/settings.py": "the user's own settings",
    "metering/store/embedded.py": "where the store's own log is",
    "metering/pricing.py": "prices of the configuration",
    "metering/store/store.py": "the URL schemes; an exception's type",
    "metering/store/topology.py": "the store's refusal, of which the first word is acted on; it names keys, never content",
    "gateway/catalog/catalog.py": "prices of the configuration",
}
# Where `Closed` and `Rid` are made.
CLOSERS = {
    "gateway/api/refusals.py",  # the codes of the error tree
    "gateway/process/app.py",
    "gateway/config/providers.py",
    "gateway/config/changes.py",
    "gateway/catalog/catalog.py",
    "gateway/names.py",
}


def modules() -> Iterator[tuple[str, ast.Module]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def name_of(node: ast.AST) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""


def sinks(tree: ast.Module) -> Iterator[str]:
    """Uses of anything that writes for people to read."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in SINKS)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in SINKS:
            yield str(node.module)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in {"print", "breakpoint"}:
            yield node.func.id
        elif isinstance(node, ast.Attribute) and name_of(node.value) == "sys" and node.attr in STREAMS:
            yield f"sys.{node.attr}"


def chained(tree: ast.Module) -> Iterator[int]:
    """Lines that raise ``from`` something other than None."""
    for node in ast.walk(tree):
        if not isinstance(node, ast.Raise) or node.cause is None:
            continue
        if not isinstance(node.cause, ast.Constant) or node.cause.value is not None:
            yield node.lineno


def composed(tree: ast.Module) -> Iterator[int]:
    """Lines that raise an exception whose text is put together from values."""
    for node in ast.walk(tree):
        if not (isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call)):
            continue
        for argument in ast.walk(node.exc):
            formats = isinstance(argument, ast.Call) and name_of(argument.func) in {"format", "str", "repr"}
            percent = isinstance(argument, ast.BinOp) and isinstance(argument.op, ast.Mod)
            joined = isinstance(argument, ast.JoinedStr) and any(
                isinstance(part, ast.FormattedValue) for part in argument.values
            )
            if formats or percent or joined:
                yield node.lineno


def closers(tree: ast.Module) -> Iterator[int]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and name_of(node.func) in {"Closed", "Rid", "NewType"}:
            yield node.lineno


def test_sinks_have_owners():
    found = {name: sorted(set(used)) for name, tree in modules() if (used := list(sinks(tree)))}
    strangers = {
        name: used
        for name, used in found.items()
        if name not in SINK_OWNERS and not name.startswith("gateway/cli")  # commands print for whoever runs them
    }
    assert strangers == {}
    assert set(SINK_OWNERS) <= set(found)


def test_no_exception_carries_another_one():
    assert {name: lines for name, tree in modules() if (lines := list(chained(tree)))} == {}


def test_texts_of_exceptions_are_fixed_on_the_data_plane():
    found = {
        name: lines
        for name, tree in modules()
        if not name.startswith(OPERATORS) and name not in OPERATORS_OWN and (lines := list(composed(tree)))
    }
    assert found == {}


def test_closed_names_are_made_where_names_are_read():
    found = {name for name, tree in modules() if list(closers(tree))}
    assert found == CLOSERS


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (sinks, "import logging"),
        (sinks, "from warnings import warn"),
        (sinks, "print(body)"),
        (sinks, "sys.stderr.write(body)"),
        (chained, "try:\n    x()\nexcept E as error:\n    raise F from error"),
        (composed, "raise InvalidRequest(f'{name} is wrong')"),
        (composed, "raise Refusal('code', 'the member %s' % name)"),
        (composed, "raise InvalidRequest(str(error))"),
        (composed, "raise InvalidRequest('{}'.format(name))"),
        (closers, "log.request(model=Closed(head.model))"),
    ],
)
def test_each_rule_finds_what_it_forbids(rule, source):
    assert list(rule(ast.parse(source)))


@pytest.mark.parametrize(
    ("rule", "source"),
    [
        (chained, "try:\n    x()\nexcept E:\n    raise F from None"),
        (composed, "raise InvalidRequest('The request is not valid.', param='model')"),
        (composed, "raise InvalidRequest('one ' 'two')"),
    ],
)
def test_each_rule_lets_pass_what_is_allowed(rule, source):
    assert not list(rule(ast.parse(source)))
