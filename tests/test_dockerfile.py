"""The image's recipe, read as text: no container engine runs where the tests run, so it is not built."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest

from gateway.config import ServerConfig
from gateway.config.load import load

ROOT = Path(__file__).parent.parent
LOCKED = re.compile(r"^([a-z0-9.-]+)==[^\n]*\n(?:    --hash=sha256:[0-9a-f]{64}[^\n]*\n?)+", re.MULTILINE)
SECRET = re.compile(r"(?i)(secret|passw|token|credential|api_?key|sk-[a-z0-9]{8}|AIza|BEGIN [A-Z ]*PRIVATE)")


@dataclass(frozen=True)
class Instruction:
    name: str
    text: str
    stage: int


def parse(text: str) -> list[Instruction]:
    """The instructions of a Dockerfile: comments dropped, continued lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    found: list[Instruction] = []
    stage = -1
    for line in re.sub(r"\\\n", " ", "\n".join(lines)).splitlines():
        name, _, rest = line.strip().partition(" ")
        if not name:
            continue
        stage += name == "FROM"
        found.append(Instruction(name, rest.strip(), stage))
    return found


@pytest.fixture(scope="module")
def recipe() -> list[Instruction]:
    return parse((ROOT / "Dockerfile").read_text())


def texts(recipe: list[Instruction], name: str, *, final: bool = False) -> list[str]:
    last = recipe[-1].stage
    return [one.text for one in recipe if one.name == name and (one.stage == last or not final)]


def test_the_parser_joins_lines_and_drops_comments_inside_them() -> None:
    found = parse("FROM a AS b\n# no\nRUN one \\\n# nor this\n && two\nFROM c\nUSER d\n")
    assert [(one.name, one.stage) for one in found] == [("FROM", 0), ("RUN", 0), ("FROM", 1), ("USER", 1)]
    assert found[1].text.split() == ["one", "&&", "two"]


def test_every_instruction_is_known(recipe: list[Instruction]) -> None:
    known = {"FROM", "ARG", "WORKDIR", "COPY", "RUN", "ENV", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL", "HEALTHCHECK"}
    assert {one.name for one in recipe} <= known | {"ENTRYPOINT", "CMD"}


def test_it_builds_in_one_stage_and_runs_in_another(recipe: list[Instruction]) -> None:
    images = texts(recipe, "FROM")
    assert len(images) == 2
    assert images[0].endswith(" AS build")
    assert [text for text in texts(recipe, "COPY", final=True) if not text.startswith("--from=build ")] == []


def test_both_stages_use_the_same_pinned_slim_python(recipe: list[Instruction]) -> None:
    tags = {text.split()[0] for text in texts(recipe, "FROM")}
    assert len(tags) == 1
    assert re.fullmatch(r"python:3\.(1[1-9])\.\d+-slim-[a-z]+", tags.pop())


def test_it_runs_as_a_user_without_rights(recipe: list[Instruction]) -> None:
    assert recipe[-1].stage == 1
    users = texts(recipe, "USER", final=True)
    assert users
    uid, _, gid = users[-1].partition(":")
    assert int(uid) >= 1000
    assert int(gid) >= 1000
    after = recipe[[one.name for one in recipe].index("USER") :]
    assert not [one for one in after if one.name in {"RUN", "COPY"}]


def test_whatever_is_installed_is_hash_checked_or_local(recipe: list[Instruction]) -> None:
    installs = [
        command
        for text in texts(recipe, "RUN")
        for command in re.split(r"&&|;|\|\|", text)
        if re.search(r"\bpip (install|wheel|download)\b", command)
    ]
    assert any("requirements/runtime.txt" in command for command in installs)
    for command in installs:
        if "-r requirements/" in command:
            assert "--require-hashes" in command
            assert "--no-deps" in command
        else:
            assert "--no-index" in command
    assert "apt-get" not in "".join(texts(recipe, "RUN"))


def test_nothing_comes_from_an_address(recipe: list[Instruction]) -> None:
    assert texts(recipe, "ADD") == []
    assert not [one for one in recipe if "://" in one.text]
    assert not [text for text in texts(recipe, "RUN") if re.search(r"\b(curl|wget|git)\b", text)]


def test_there_is_no_secret_in_it(recipe: list[Instruction]) -> None:
    assert texts(recipe, "ARG") == ['EXTRAS=""']
    assert not [one for one in recipe if SECRET.search(one.text)]


def test_its_healthcheck_asks_livez_of_the_internal_listener(recipe: list[Instruction]) -> None:
    (check,) = texts(recipe, "HEALTHCHECK", final=True)
    assert "/livez" in check
    assert "9090" in check
    assert "CMD [" in check


def test_it_is_meant_for_a_read_only_root(recipe: list[Instruction]) -> None:
    assert texts(recipe, "VOLUME", final=True) == ['["/var/lib/codegrex"]']
    assert "PYTHONDONTWRITEBYTECODE=1" in " ".join(texts(recipe, "ENV", final=True))
    compose = (ROOT / "deploy/compose.yaml").read_text()
    for line in ("read_only: true", "- ALL", "no-new-privileges:true", "- gateway-data-1:/var/lib/codegrex"):
        assert line in compose


def test_signals_reach_the_gateway(recipe: list[Instruction]) -> None:
    assert texts(recipe, "ENTRYPOINT", final=True) == ['["codegrex-gateway"]']  # not through a shell
    assert texts(recipe, "STOPSIGNAL", final=True) == ["SIGTERM"]
    minutes = re.search(r"stop_grace_period: (\d+)m", (ROOT / "deploy/compose.yaml").read_text())
    assert minutes is not None
    assert int(minutes[1]) * 60 >= ServerConfig().drain_timeout + 60


def test_what_is_copied_is_there_and_not_ignored(recipe: list[Instruction]) -> None:
    rules = (ROOT / ".dockerignore").read_text().splitlines()
    assert "*" in rules
    for text in texts(recipe, "COPY"):
        if text.startswith("--from="):
            continue
        for source in text.split()[:-1]:
            assert (ROOT / source).exists()
            assert f"!{source}" in rules


def test_the_build_requirements_are_a_part_of_the_lock() -> None:
    locked = {match[1]: match[0].rstrip() for match in LOCKED.finditer((ROOT / "requirements/dev.txt").read_text())}
    build = {match[1]: match[0].rstrip() for match in LOCKED.finditer((ROOT / "requirements/build.txt").read_text())}
    assert "hatchling" in build
    assert build == {name: locked.get(name) for name in build}


def test_an_extra_adds_packages_of_the_lock_and_changes_none(recipe: list[Instruction]) -> None:
    """``docker build --build-arg EXTRAS=otel .``"""
    [build] = [text for text in texts(recipe, "RUN") if "$EXTRAS" in text]
    assert "in $EXTRAS; do /opt/gateway/bin/python -m pip install" in build
    assert '-r requirements/"$extra".txt || exit 1; done' in build
    names = {"dev": "dev", "runtime": "runtime", "otel": "otel"}
    locks = {
        name: {
            match[1]: match[0].rstrip() for match in LOCKED.finditer((ROOT / f"requirements/{name}.txt").read_text())
        }
        for name in names
    }
    assert locks["otel"].keys() == {"opentelemetry-proto", "protobuf"}
    assert not locks["otel"].keys() & locks["runtime"].keys()
    versions = {name: {package: text.split()[0] for package, text in lock.items()} for name, lock in locks.items()}
    assert versions["otel"] == {package: versions["dev"].get(package) for package in versions["otel"]}


def test_the_mounted_configuration_is_valid_and_fits_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "a-key")
    monkeypatch.setenv("CODEGREX_IDENTITY_KEY", "k" * 32)
    config = load(ROOT / "deploy/gateway.toml")
    assert str(config.server.data_dir) == "/var/lib/codegrex"
    assert (config.server.port, config.internal.port) == (8080, 9090)
    assert config.store.url == "redis://valkey:6379"
