from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.telemetry import TelemetryConfig
from tests.gateway.config.parsing import fault, faults, parse

TABLE = '[telemetry]\notlp_endpoint = "http://127.0.0.1:4318/"\n'


def test_nothing_is_sent_by_default() -> None:
    assert parse("").telemetry is None


def test_an_address_is_enough() -> None:
    assert parse(TABLE).telemetry == TelemetryConfig("http://127.0.0.1:4318")


def test_everything_that_can_be_stated() -> None:
    text = TABLE.replace("http://127.0.0.1:4318/", "https://collector.example/otlp") + (
        "traces = false\nmetrics = false\nsample = 0.25\naccept_traceparent = true\nmetrics_seconds = 5\n"
        'headers = { authorization = "env:KEY", x-tenant = "one" }\n'
        'resource = { "deployment.environment.name" = "production" }\n'
    )
    found = parse(text).telemetry
    assert found == TelemetryConfig(
        "https://collector.example/otlp",
        traces=False,
        metrics=False,
        sample=0.25,
        accept_traceparent=True,
        metrics_seconds=5.0,
        headers=(("authorization", "sk-secret-1"), ("x-tenant", "one")),
        resource=(("deployment.environment.name", "production"),),
    )
    assert "sk-secret-1" not in repr(found)


@pytest.mark.parametrize(
    ("text", "key"),
    [
        (TABLE.replace("127.0.0.1", "collector.example"), "otlp_endpoint"),
        (TABLE.replace("4318/", "4318/?key=1"), "otlp_endpoint"),
        (TABLE.replace("http:", "grpc:"), "otlp_endpoint"),
        (TABLE + "sample = 1.5\n", "sample"),
        (TABLE + "metrics_seconds = 0\n", "metrics_seconds"),
        (TABLE + 'ca_file = "nowhere.pem"\n', "ca_file"),
        (TABLE + 'headers = { "a b" = "c" }\n', "headers.a b"),
        (TABLE + 'headers = { Host = "c" }\n', "headers.Host"),
        (TABLE + 'headers = { authorization = "env:NONE" }\n', "headers.authorization"),
        (TABLE + 'resource = { "service.name" = "c" }\n', "resource.service.name"),
        ("[telemetry]\ntraces = true\n", "otlp_endpoint"),
    ],
)
def test_a_fault_is_named(text: str, key: str) -> None:
    assert fault(text).startswith(f"telemetry.{key}: ")


def test_the_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gateway.config.reader.find_spec", lambda _: None)
    assert fault(TABLE) == (
        "telemetry.otlp_endpoint: needs the package opentelemetry-proto, which is not installed; "
        "pip install 'codegrex-gateway[otel]'"
    )
    assert parse("").telemetry is None
    assert parse(TABLE, need_keys=False).telemetry is not None  # work on the store sends nothing


def test_work_on_the_store_goes_without_secrets_that_are_not_at_hand() -> None:
    text = TABLE + 'headers = { authorization = "env:NONE" }\n'
    found = parse(text, env={"KEY": "k"}, need_keys=False).telemetry
    assert found is not None
    assert found.headers == ()
    assert len(faults(text)) == 1


def test_a_relative_path_starts_at_the_file(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("")
    text = TABLE + 'ca_file = "ca.pem"\n'
    with pytest.raises(Exception, match="ca_file"):  # found, and not a certificate
        parse(text, path=tmp_path / "gateway.toml")
