"""The files of deploy/ parse, fit each other, and name only what there is; the alert rules do what they say."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from typing import Any

import yaml

from gateway.config.load import load
from gateway.config.server import ServerConfig
from gateway.telemetry.instruments import Instruments
from tests import tools

ROOT = Path(__file__).parent.parent
DEPLOY = ROOT / "deploy"
ALERTS = DEPLOY / "prometheus/alerts.yaml"
METRIC = re.compile(r"\bcodegrex_\w+")
PARTS = re.compile(r"_(bucket|sum|count)$")


def read(path: str) -> Any:
    return yaml.safe_load((DEPLOY / path).read_text())


def rules() -> dict[str, dict[str, Any]]:
    found = [rule for group in read("prometheus/alerts.yaml")["groups"] for rule in group["rules"]]
    named = {rule["alert"]: rule for rule in found}
    assert len(named) == len(found)
    return named


def expressions() -> list[str]:
    """Every query of the dashboard and of the alerts."""
    board = json.loads((DEPLOY / "grafana/dashboards/codegrex.json").read_text())
    panels = [target["expr"] for panel in board["panels"] for target in panel.get("targets", ())]
    variables = [variable["query"]["query"] for variable in board["templating"]["list"]]
    assert len(panels) > 30
    return [*panels, *variables, *(rule["expr"] for rule in rules().values())]


def test_every_metric_of_the_dashboard_and_the_alerts_exists() -> None:
    names = Instruments([]).registry.names()
    asked = {name for text in expressions() for name in METRIC.findall(text)}
    assert {name for name in asked if PARTS.sub("", name) not in names and name not in names} == set()
    assert len(asked) > 30


def test_every_label_that_is_asked_for_exists() -> None:
    names = Instruments([]).registry.names()
    known = {"instance", "job", "le", *(label for labels in names.values() for label in labels)}
    for text in expressions():
        for inside in re.findall(r"(?:by|on) \(([^)]*)\)", text):
            assert {label.strip() for label in inside.split(",")} <= known, text
        for name, selectors in re.findall(r"(codegrex_\w+)\{([^}]*)\}", text):
            labels = set(re.findall(r"(\w+)\s*=~?\"", selectors)) - {"instance"}
            assert labels <= set(names[PARTS.sub("", name)]), text


def test_every_alert_has_a_place_in_the_runbook_and_nothing_else_does() -> None:
    page = (ROOT / "docs/operations/runbook.md").read_text()
    sections = dict(re.findall(r"^## (Codegrex\w+)\n\n(.*?)(?=\n## |\Z)", page, re.MULTILINE | re.DOTALL))
    assert list(sections) == list(rules())
    for name, text in sections.items():
        assert "**Means**" in text, name
        assert "**Do**" in text, name
        assert rules()[name]["labels"]["severity"] in ("page", "ticket")


def test_compose_is_whole() -> None:
    services = read("compose.yaml")["services"]
    gateways = [name for name in services if name.startswith("gateway")]
    assert gateways == ["gateway-1", "gateway-2"]
    volumes = [one for service in services.values() for one in service.get("volumes", ())]
    for volume in volumes:
        source = volume.split(":")[0]
        if source.startswith("."):
            assert (DEPLOY / source).exists(), source
        else:
            assert source in read("compose.yaml")["volumes"]
    data = [one for name in gateways for one in services[name]["volumes"] if one.endswith(":/var/lib/codegrex")]
    assert len(set(data)) == 2  # a data directory has one gateway
    (job,) = read("prometheus/prometheus.yaml")["scrape_configs"]
    assert job["static_configs"][0]["targets"] == [f"{name}:9090" for name in gateways]
    upstream = re.findall(r"^\s+server (\S+) ", (DEPLOY / "nginx/compose.conf").read_text(), re.MULTILINE)
    assert upstream == [f"{name}:8080" for name in gateways]
    published = [port for service in services.values() for port in service.get("ports", ())]
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert not any("9090" in port for port in published)  # it has no authentication


def test_compose_s_gateways_share_what_they_must() -> None:
    compose = (DEPLOY / "compose.yaml").read_text()
    named = set(re.findall(r"env:(\w+)", (DEPLOY / "gateway.toml").read_text()))
    assert named == set(re.findall(r"\$\{(\w+):\?", compose))
    config = load(DEPLOY / "gateway.toml", dict.fromkeys(named, "x" * 32))
    assert config.identity.key is not None
    assert config.server.behind_tls_proxy


def test_proxies_are_more_patient_than_the_gateway() -> None:
    usual = ServerConfig()
    longest = max(usual.first_byte_timeout, usual.idle_timeout)
    nginx = (DEPLOY / "nginx/proxy.conf").read_text()
    size = re.search(r"client_max_body_size (\d+)m;", nginx)
    times = re.findall(r"proxy_(?:read|send)_timeout (\d+)s;", nginx)
    times += re.findall(r"timeout (?:client|server) (\d+)s", (DEPLOY / "haproxy/haproxy.cfg").read_text())
    assert len(times) == 4
    assert all(int(time) > longest for time in times)
    assert size is not None
    assert int(size[1]) << 20 > usual.max_body_bytes


# -- promtool ---------------------------------------------------------------------------------

# What makes each alert fire, and after how many minutes it must have. The first quiet row holds for all of them.
QUIET = {
    'up{job="codegrex",instance="a"}': "1+0x60",
    'codegrex_workers{instance="a"}': "2+0x60",
    'codegrex_workers_running{instance="a"}': "2+0x60",
    'codegrex_worker_deaths_total{instance="a"}': "1+0x60",
    'codegrex_refusals_total{code="internal_error",instance="a"}': "3+0x60",
    'codegrex_refusals_total{code="rate_limited",instance="a"}': "0+9x60",
    'codegrex_loop_lag_seconds_bucket{le="0.005",instance="a"}': "0+60x60",
    'codegrex_loop_lag_seconds_bucket{le="1",instance="a"}': "0+60x60",
    'codegrex_loop_lag_seconds_bucket{le="+Inf",instance="a"}': "0+60x60",
    'codegrex_reserve_seconds_bucket{le="0.005",instance="a"}': "0+60x60",
    'codegrex_reserve_seconds_bucket{le="1",instance="a"}': "0+60x60",
    'codegrex_reserve_seconds_bucket{le="+Inf",instance="a"}': "0+60x60",
    'codegrex_client_connections_ended_total{reason="refused",instance="a"}': "5+0x60",
    'codegrex_client_connections_ended_total{reason="head_timeout",instance="a"}': "0+5x60",
    'codegrex_certificate_refused_workers{instance="a"}': "0+0x60",
    'codegrex_certificate_expires_seconds{instance="a"}': "9000000+0x60",
    'codegrex_store_away{instance="a"}': "0+0x60",
    'codegrex_announcements_away{instance="a"}': "0+0x60",
    'codegrex_spool_full{instance="a"}': "0+0x60",
    'codegrex_spool_owed{instance="a"}': "5+0x60",
    'codegrex_dead_letters{instance="a"}': "0+0x60",
    'codegrex_billing_lag_seconds{instance="a"}': "0+0x60",
    'codegrex_records_deleted_total{fate="unread",instance="a"}': "0+0x60",
    'codegrex_records_deleted_total{fate="aged",instance="a"}': "0+5x60",
    'codegrex_reaped_requests{fate="orphan",instance="a"}': "0+0x60",
    'codegrex_unreadable_answers_total{provider="p",instance="a"}': "1+0x60",
    'codegrex_suspect_usage_total{provider="p",instance="a"}': "1+0x60",
    'codegrex_unpriced_records_total{provider="p",instance="a"}': "1+0x60",
    'codegrex_provider_account_faults_total{provider="p",fault="x",instance="a"}': "2+0x60",
    'codegrex_upstream_faults_total{provider="p",fault="x",instance="a"}': "0+1x60",
    'codegrex_upstream_answers_total{provider="p",status="2xx",instance="a"}': "0+100x60",
    'codegrex_upstream_answers_total{provider="p",status="5xx",instance="a"}': "0+1x60",
    'codegrex_upstream_answers_total{provider="p",status="429",instance="a"}': "0+1x60",
    'codegrex_region_astray_total{provider="p",instance="a"}': "0+0x60",
    'codegrex_local_mode_refusals_total{instance="a"}': "7+0x60",
    'codegrex_hardened_workers{measure="not_dumpable",instance="a"}': "2+0x60",
    'codegrex_hardened_workers{measure="swap_off",instance="a"}': "0+0x60",
}
FIRING = {
    "CodegrexDown": {'up{job="codegrex",instance="a"}': "0+0x60"},
    "CodegrexWorkersMissing": {'codegrex_workers_running{instance="a"}': "1+0x60"},
    "CodegrexWorkersDie": {'codegrex_worker_deaths_total{instance="a"}': "0+1x60"},
    "CodegrexInternalErrors": {'codegrex_refusals_total{code="internal_error",instance="a"}': "0+1x60"},
    "CodegrexOverloaded": {'codegrex_loop_lag_seconds_bucket{le="0.005",instance="a"}': "0+10x60"},
    "CodegrexConnectionsRefused": {
        'codegrex_client_connections_ended_total{reason="refused",instance="a"}': "0+1x60",
    },
    "CodegrexCertificateRefused": {'codegrex_certificate_refused_workers{instance="a"}': "1+0x60"},
    "CodegrexCertificateEnds": {'codegrex_certificate_expires_seconds{instance="a"}': "900000+0x60"},
    "CodegrexStoreAway": {'codegrex_store_away{instance="a"}': "1+0x60"},
    "CodegrexStoreSlow": {'codegrex_reserve_seconds_bucket{le="0.005",instance="a"}': "0+10x60"},
    "CodegrexAnnouncementsAway": {'codegrex_announcements_away{instance="a"}': "2+0x60"},
    "CodegrexSpoolFull": {'codegrex_spool_full{instance="a"}': "1+0x60"},
    "CodegrexSpoolGrows": {'codegrex_spool_owed{instance="a"}': "101+20x60"},
    "CodegrexDeadLetters": {'codegrex_dead_letters{instance="a"}': "1+0x60"},
    "CodegrexBillingLags": {'codegrex_billing_lag_seconds{instance="a"}': "90000+0x60"},
    "CodegrexRecordsDeletedUnread": {'codegrex_records_deleted_total{fate="unread",instance="a"}': "0+1x60"},
    "CodegrexOrphans": {'codegrex_reaped_requests{fate="orphan",instance="a"}': "0+1x60"},
    "CodegrexUsageInDoubt": {'codegrex_suspect_usage_total{provider="p",instance="a"}': "0+1x60"},
    "CodegrexProviderAccount": {
        'codegrex_provider_account_faults_total{provider="p",fault="x",instance="a"}': "0+1x60",
    },
    "CodegrexProviderFails": {'codegrex_upstream_faults_total{provider="p",fault="x",instance="a"}': "0+40x60"},
    "CodegrexProviderLimits": {
        'codegrex_upstream_answers_total{provider="p",status="429",instance="a"}': "0+40x60",
    },
    "CodegrexRegionAstray": {'codegrex_region_astray_total{provider="p",instance="a"}': "0+1x60"},
    "CodegrexLocalMode": {'codegrex_local_mode_refusals_total{instance="a"}': "0+1x60"},
    "CodegrexHardeningLost": {'codegrex_hardened_workers{measure="not_dumpable",instance="a"}': "1+0x60"},
}


def firing(labels: dict[str, str], summary: str) -> dict[str, Any]:
    return {"exp_labels": labels, "exp_annotations": {"summary": summary}}


def expected(name: str, rule: dict[str, Any]) -> dict[str, Any]:
    """The alert with the labels that its expression keeps, and its summary filled in with them."""
    labels = {"severity": rule["labels"]["severity"]}
    (series,) = FIRING[name]
    own = dict(re.findall(r'(\w+)="([^"]*)"', series))
    text = rule["expr"]
    grouped = re.search(r"sum by \(([^)]*)\)", text)
    kept = set(own) if grouped is None else {label.strip() for label in grouped[1].split(",")} - {"le"}
    labels |= {label: value for label, value in own.items() if label in kept}
    summary = re.sub(r"\{\{ \$labels\.(\w+) \}\}", lambda match: own[match[1]], rule["annotations"]["summary"])
    return firing(labels, summary)


@tools.needs("prometheus")
def test_each_alert_fires_for_its_reason_and_no_other_does(tmp_path: Path) -> None:
    named = rules()
    assert set(FIRING) == set(named)
    cases = []
    for reason in (None, *named):
        series = QUIET | (FIRING[reason] if reason else {})
        assert set(series) == set(QUIET)
        tests = [
            {
                "eval_time": "40m",
                "alertname": name,
                "exp_alerts": [expected(name, rule)] if name == reason else [],
            }
            for name, rule in named.items()
        ]
        given = [{"series": name, "values": values} for name, values in series.items()]
        cases.append({"interval": "1m", "input_series": given, "alert_rule_test": tests})
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({"rule_files": [str(ALERTS)], "evaluation_interval": "1m", "tests": cases}))
    program = tools.need("prometheus")
    for arguments in (["check", "rules", str(ALERTS)], ["test", "rules", str(file)]):
        done = subprocess.run([program, *arguments], capture_output=True, text=True, check=False)
        assert done.returncode == 0, (done.stdout + done.stderr)[-3_000:]
    config = (DEPLOY / "prometheus/prometheus.yaml").read_text().replace("/etc/prometheus/alerts.yaml", str(ALERTS))
    (tmp_path / "prometheus.yaml").write_text(config)
    done = subprocess.run(
        [program, "check", "config", str(tmp_path / "prometheus.yaml")], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr


@tools.needs("prometheus")
def test_what_is_exposed_is_what_prometheus_reads() -> None:
    instruments = Instruments(["openai"], [("openai", "m")])
    instruments.registry.bind(instruments.registry.create(1), 0)
    instruments.model_requests.inc("openai", "m", "completed")
    instruments.first_byte.observe(0.2)
    for reading in (instruments.workers, instruments.workers_running, instruments.worker_deaths):
        reading.read = lambda: 1
    command = [tools.need("prometheus"), "check", "metrics"]
    done = subprocess.run(command, input=instruments.registry.render(), capture_output=True, check=False)
    complaints = [line for line in (done.stdout + done.stderr).decode().splitlines() if "parsing error" in line]
    assert complaints == []
    assert done.returncode in (0, 3)  # 3: its opinion about names


# -- systemd ----------------------------------------------------------------------------------


@tools.needs("systemd")
def test_the_unit_is_valid_and_confined(tmp_path: Path) -> None:
    program, unit = tools.need("systemd"), DEPLOY / "systemd/codegrex-gateway.service"
    text = unit.read_text()
    copy = tmp_path / unit.name
    copy.write_text(text.replace("/opt/codegrex/bin/codegrex-gateway", "/bin/true"))
    done = subprocess.run([program, "verify", str(copy)], capture_output=True, text=True, check=False)
    assert (done.returncode, [line for line in done.stderr.splitlines() if unit.name in line]) == (0, [])
    command = [program, "security", "--offline=true", "--no-pager", "--threshold=15", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout  # 1.5 of 10: "OK"
    stop = re.search(r"^TimeoutStopSec=(\d+)$", text, re.MULTILINE)
    assert stop is not None
    assert int(stop[1]) >= ServerConfig().drain_timeout + 60
