"""The chart with other values than its defaults: one at a time, or all that is off at once."""

from __future__ import annotations

import functools
import tempfile
from pathlib import Path
from typing import Any, Final

import yaml

from tests.chart.helm import render_text
from tests.chart.schemas.kinds import releases
from tests.repository.chart_pages import Value, values

_K0S = "/var/lib/k0s/kubelet"

# A value that differs from the default, for those that are no switch, number or word.
_OTHERS: dict[str, Any] = {
    "controller.envFrom": [{"secretRef": {"name": "more"}}],
    "controller.initContainers": [{"name": "first", "image": "first"}],
    "controller.affinity": {"podAntiAffinity": {}},
    "controller.dnsConfig": {"nameservers": ["10.0.0.1"]},
    "controller.env": [{"name": "A", "value": "b"}],
    "controller.podDisruptionBudget.maxUnavailable": "50%",
    "controller.volumes": [{"name": "more", "emptyDir": {}}],
    "controller.volumeMounts": [{"name": "more", "mountPath": "/more"}],
    "credentials.apiKey": "EXO",
    "credentials.apiSecret": "secret",
    "imagePullSecrets": [{"name": "pull"}],
    "metrics.port": 9090,
    "networkPolicy.additionalEgress": [{"ports": [{"port": 3128}]}],
    "networkPolicy.apiServerPorts": [8443],
    "networkPolicy.dnsPorts": [5353],
    "node.additionalDaemonSets": {"large": {"volumeAttachLimit": 9}},
    "node.affinity": {"nodeAffinity": {}},
    "node.podSecurityContext": {"fsGroup": 1},
    "node.tolerations": [{"key": "a", "operator": "Exists"}],
    "csiDriver.fsGroupPolicy": "None",
    "csiDriver.preventPodSchedulingIfMissing": True,
    "storageClasses": [{"name": "other", "default": True, "mountOptions": ["noatime"]}],
    "volumeSnapshotClasses": [{"name": "other", "deletionPolicy": "Retain"}],
    "volumeAttributesClasses": [{"name": "gold", "parameters": {"labels": "tier=gold"}}],
}
NEEDED: Final[dict[str, dict[str, Any]]] = {
    "csiDriver.seLinuxMount": {"node": {"selinux": True}},
    "credentials.apiKey": {"credentials": {"apiKey": "other", "apiSecret": "other"}},
    "credentials.apiSecret": {"credentials": {"apiKey": "other", "apiSecret": "other"}},
    "credentials.existingSecret.keyKey": {"credentials": {"mountAsFile": False}},
    "proxy.noProxy": {"proxy": {"httpsProxy": "http://proxy:3128"}},
    "serviceMonitor.enabled": {"metrics": {"enabled": True}},
    "serviceMonitor.labels": {"metrics": {"enabled": True}, "serviceMonitor": {"enabled": True}},
    "serviceMonitor.interval": {"metrics": {"enabled": True}, "serviceMonitor": {"enabled": True}},
    "prometheusRule.labels": {"prometheusRule": {"enabled": True}},
    "dashboard.labels": {"dashboard": {"enabled": True}},
    "networkPolicy.apiServerPorts": {"networkPolicy": {"enabled": True}},
    "networkPolicy.additionalEgress": {"networkPolicy": {"enabled": True}},
    "networkPolicy.dnsPorts": {"networkPolicy": {"enabled": True}},
    "node.tolerations": {"node": {"tolerateAllTaints": False}},
    "csiDriver.create": {},
    "csiDriver.storageCapacity": {"controller": {"capacityFromQuota": True}},
}
"""What must be set with a value before it shows."""

_CHOICES = {
    "apiEndpoint": "https://api-{zone}.example.com",
    "digest": f"sha256:{64 * '0'}",
    "httpsProxy": "http://proxy:3128",
    "interval": "1m",
    "kubeletPath": _K0S,
    "leaseDuration": "20s",
    "renewDeadline": "12s",
    "retryPeriod": "2s",
    "pullPolicy": "Always",
    "logFormat": "text",
    "logLevel": "debug",
    "driverName": "csi.exoscale.com",
    "priorityClassName": "",
}
SINCE: Final = {"csiDriver.preventPodSchedulingIfMissing": "1.36"}
"""Values that set a field which came with a later Kubernetes than the oldest, and with which."""


def single_values() -> list[Value]:
    """Return the values that are no groups of others."""
    return [each for each in values() if not each.is_group]


def is_known(path: str, release: str) -> bool:
    """Return whether a Kubernetes has the field that a value sets."""
    return releases().index(release) >= releases().index(SINCE.get(path, releases()[0]))


@functools.cache
def render_changed(path: str) -> str:
    """Return the manifests with another value than the default, and what that one needs."""
    with tempfile.TemporaryDirectory() as folder:
        return render_text(*options(Path(folder), _merged(NEEDED.get(path, {}), setting(path))))


def setting(path: str) -> dict[str, Any]:
    """Return the values in which one has another setting than its default."""
    (value,) = (each for each in values() if each.path == path)
    return _nested(path, _other(path, value))


def all_on(folder: Path, release: str) -> list[str]:
    """Turn on all that is off by default, as far as a Kubernetes knows it."""
    chosen: dict[str, Any] = {}
    for value in values():
        chosen_here = value.default is False or value.path in _OTHERS
        if chosen_here and value.path != "nodeComponentOnly" and is_known(value.path, release):
            chosen = _merged(chosen, _nested(value.path, _other(value.path, value)))
    chosen["credentials"] = {"apiKey": "EXO", "apiSecret": "secret"}
    return options(folder, chosen)


def options(folder: Path, chosen: dict[str, Any]) -> list[str]:
    """Return Helm's options for these values, which are written into the folder."""
    path = folder / "values.yaml"
    path.write_text(yaml.safe_dump(chosen))
    return [f"--values={path}"]


def _other(path: str, value: Any) -> Any:
    name = path.rpartition(".")[2]
    if path in _OTHERS:
        return _OTHERS[path]
    if path.startswith("node.") and path.replace("node.", "controller.") in _OTHERS:
        return _OTHERS[path.replace("node.", "controller.")]
    if name in _CHOICES and isinstance(value.default, str):
        return _CHOICES[name]
    match value.default:
        case bool():
            return not value.default
        case int():
            return value.default + 1
        case list():
            return ["--more=true"] if name == "additionalArgs" else []
        case dict() if name == "resources":
            return {"limits": {"cpu": "1"}}
        case dict() if name in ("securityContext", "containerSecurityContext"):
            return {"runAsUser": 1}
        case dict() if name == "updateStrategy":
            return {"rollingUpdate": {"maxUnavailable": 3}}
        case dict() if name == "podSecurityContext":
            return {"fsGroup": 2}
        case dict():
            return {"example.com/a": "b"}
        case _:
            return "false" if path == "sidecars.snapshotter.enabled" else "other"


def _nested(path: str, value: Any) -> dict[str, Any]:
    for key in reversed(path.split(".")):
        value = {key: value}
    nested: dict[str, Any] = value
    return nested


def _merged(first: dict[str, Any], second: dict[str, Any]) -> dict[str, Any]:
    merged = dict(first)
    for key, value in second.items():
        both = isinstance(value, dict) and isinstance(merged.get(key), dict)
        merged[key] = _merged(merged[key], value) if both else value
    return merged
