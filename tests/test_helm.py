"""The chart renders in every shape, what it renders is valid for Kubernetes, and its gateway.toml for the gateway.

Helm's library is a Go runtime: it runs in a process of its own.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from gateway.config import Config
from gateway.config.load import load
from gateway.config.server import ServerConfig
from gateway.telemetry.instruments import Instruments

CHART = Path(__file__).parent.parent / "deploy/helm/codegrex-gateway"
OLDEST = "1.30.0"  # of Chart.yaml
SECRETS = {"CODEGREX_IDENTITY_KEY": "k" * 32, "OPENAI_API_KEY": "key", "STORE_URL": "redis://:secret@valkey:6379"}

_RENDER = """
import json, sys
import helm_python as helm
chart, shapes = sys.argv[1], json.load(sys.stdin)
found = {"lint": helm.lint(chart), "shapes": {}}
for name, values in shapes.items():
    with helm.Chart.load(chart) as loaded:
        try:
            loaded.validate_schema(values)
            found["shapes"][name] = loaded.render(values, name="gw", namespace="prod")
        except helm.HelmError as error:
            found["shapes"][name] = type(error).__name__ + ": " + str(error)
print(json.dumps(found))
"""

SHAPES: Mapping[str, Mapping[str, Any]] = {
    "defaults": {},
    "scaled": {"autoscaling": {"enabled": True, "activeStreams": 300}, "server": {"drainTimeout": 1_200}},
    "tls": {
        "tls": {"secretName": "certificate"},
        "store": {"url": "env:STORE_URL"},
        "service": {"type": "LoadBalancer"},
    },
    "open": {"networkPolicy": {"enabled": False}, "server": {"trustedProxies": ["10.0.0.0/8"]}},
    "closed": {"networkPolicy": {"clients": [], "monitoring": [], "providers": [], "store": {"to": []}}},
    "placed": {
        "nodeSelector": {"pool": "gateways"},
        "tolerations": [{"key": "only", "operator": "Exists"}],
        "imagePullSecrets": [{"name": "registry"}],
        "podAnnotations": {"a": "b"},
        "persistence": {"storageClassName": "fast", "size": "1Gi"},
        "image": {"repository": "somewhere/gateway", "tag": "1"},
    },
}
WRONG: Mapping[str, Mapping[str, Any]] = {
    "unknown value": {"replica": 2},
    "no provider": {"config": "[log]\nlevel = 'info'"},
    "no worker": {"workers": 0},
    "no store": {"store": {"url": "embedded:"}},
}

pytestmark = pytest.mark.skipif(
    (sys.platform, platform.machine()) != ("linux", "x86_64"),
    reason="Helm's library is not made for this platform: the chart is NOT tested",
)


@cache
def rendered() -> dict[str, Any]:
    command = [sys.executable, "-c", _RENDER, str(CHART)]
    shapes = json.dumps({**SHAPES, **WRONG})
    done = subprocess.run(command, input=shapes, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def objects(shape: str) -> dict[str, Any]:
    """What a shape renders, by kind and name."""
    files = rendered()["shapes"][shape]
    assert isinstance(files, dict), files
    parts = [
        part
        for name, text in files.items()
        if not name.endswith("NOTES.txt")
        for part in yaml.safe_load_all(text)
        if part is not None
    ]
    return {f"{part['kind']}/{part['metadata']['name']}": part for part in parts}


def config(shape: str, folder: Path) -> Config:
    text = objects(shape)["ConfigMap/gw-codegrex-gateway"]["data"]["gateway.toml"]
    if shape == "tls":  # the mounted files are not here
        lines = [line for line in text.splitlines() if not line.startswith("tls_")]
        text = "\n".join(lines).replace('host = "0.0.0.0"\nport = 8080', 'host = "127.0.0.1"\nport = 8080')
    (folder / "gateway.toml").write_text(text)
    return load(folder / "gateway.toml", SECRETS)


def stateful(shape: str) -> Any:
    return objects(shape)["StatefulSet/gw-codegrex-gateway"]["spec"]


def pod(shape: str) -> Any:
    return stateful(shape)["template"]["spec"]


def test_helm_s_linter_has_no_objection() -> None:
    assert [message for message in rendered()["lint"]["messages"] if message["severity"] > 1] == []


@pytest.mark.parametrize("shape", SHAPES)
def test_every_object_is_valid_for_kubernetes(shape: str) -> None:
    found = objects(shape)
    assert len(found) >= 5
    for version in (OLDEST, kubernetes_validate.latest_version()):
        for item in found.values():
            kubernetes_validate.validate(item, version, strict=True)


@pytest.mark.parametrize("shape", WRONG)
def test_values_that_cannot_serve_are_refused(shape: str) -> None:
    assert isinstance(rendered()["shapes"][shape], str)


@pytest.mark.parametrize("shape", SHAPES)
def test_the_gateway_accepts_its_configuration(shape: str, tmp_path: Path) -> None:
    found = config(shape, tmp_path)
    (container,) = pod(shape)["containers"]
    ports = {port["name"]: port["containerPort"] for port in container["ports"]}
    assert ports == {"gateway": found.server.port, "internal": found.internal.port}
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    assert str(found.server.data_dir) in mounts
    volumes = {volume["name"] for volume in [*pod(shape)["volumes"]]} | {
        claim["metadata"]["name"] for claim in stateful(shape)["volumeClaimTemplates"]
    }
    assert {mount["name"] for mount in container["volumeMounts"]} <= volumes


@pytest.mark.parametrize("shape", SHAPES)
def test_selectors_find_the_pods_and_there_is_time_to_drain(shape: str, tmp_path: Path) -> None:
    labels = stateful(shape)["template"]["metadata"]["labels"]
    for name, item in objects(shape).items():
        spec = item.get("spec", {})
        selector = {
            "Service": lambda spec: spec["selector"],
            "NetworkPolicy": lambda spec: spec["podSelector"]["matchLabels"],
            "PodDisruptionBudget": lambda spec: spec["selector"]["matchLabels"],
            "StatefulSet": lambda spec: spec["selector"]["matchLabels"],
        }.get(item["kind"])
        if selector is not None:
            assert selector(spec).items() <= labels.items(), name
    wait = pod(shape)["containers"][0]["lifecycle"]["preStop"]["sleep"]["seconds"]
    drain = config(shape, tmp_path).server.drain_timeout
    assert pod(shape)["terminationGracePeriodSeconds"] >= wait + drain + 60


def test_a_pod_has_no_rights() -> None:
    spec = pod("defaults")
    (container,) = spec["containers"]
    assert spec["automountServiceAccountToken"] is False
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert not any(item["kind"] == "Secret" for item in objects("defaults").values())  # keys are the operator's


def test_it_scales_on_live_streams() -> None:
    scaler = objects("scaled")["HorizontalPodAutoscaler/gw-codegrex-gateway"]["spec"]
    (metric,) = scaler["metrics"]
    assert metric["pods"]["metric"]["name"] in Instruments([]).registry.names()
    assert metric["pods"]["target"]["averageValue"] == "300"
    assert "replicas" not in stateful("scaled")  # the scaler's alone
    assert "replicas" in stateful("defaults")
    assert "HorizontalPodAutoscaler/gw-codegrex-gateway" not in objects("defaults")


def test_the_network_is_closed_but_for_what_is_named() -> None:
    policy = objects("defaults")["NetworkPolicy/gw-codegrex-gateway"]["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert [[port["port"] for port in rule["ports"]] for rule in policy["ingress"]] == [["gateway"], ["internal"]]
    assert all(rule["from"] for rule in policy["ingress"])  # a rule without peers lets everybody in
    assert [[port["port"] for port in rule["ports"]] for rule in policy["egress"]] == [[53, 53], [6379], [443]]
    assert all(rule["to"] for rule in policy["egress"])
    closed = objects("closed")["NetworkPolicy/gw-codegrex-gateway"]["spec"]
    assert "ingress" not in closed
    assert [[port["port"] for port in rule["ports"]] for rule in closed["egress"]] == [[53, 53]]
    assert not any(name.startswith("NetworkPolicy") for name in objects("open"))


def test_tls_is_the_gateway_s_or_the_ingress_s(tmp_path: Path) -> None:
    assert config("open", tmp_path).server.behind_tls_proxy
    assert [str(network) for network in config("open", tmp_path).server.trusted_proxies] == ["10.0.0.0/8"]
    text = objects("tls")["ConfigMap/gw-codegrex-gateway"]["data"]["gateway.toml"]
    (mount,) = [one for one in pod("tls")["containers"][0]["volumeMounts"] if one["name"] == "tls"]
    assert f'tls_cert = "{mount["mountPath"]}/tls.crt"' in text
    assert "behind_tls_proxy" not in text
    assert "subPath" not in mount  # a renewed Secret would not arrive


def test_its_defaults_are_the_gateway_s() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    assert values["server"]["drainTimeout"] == ServerConfig().drain_timeout
