"""Alerts and dashboard ask for metrics that exist, and each alert has its page (N3, F7)."""

from __future__ import annotations

import pathlib
import re
import shutil
import subprocess
from collections.abc import Iterator

import pytest
import yaml

from tests.monitoring.dashboard import DASHBOARD, queries, text
from tests.support.metrics import documented

ROOT = pathlib.Path(__file__).parents[2]
MONITORING = ROOT / "deploy" / "monitoring"

# What is not the driver's: by name, with its labels.
# Sources: kubelet's and the attach-detach controller's metrics of Kubernetes 1.34, and those of
# kube-state-metrics 2.17.
_FOREIGN = {
    "kube_daemonset_status_desired_number_scheduled": {"namespace", "daemonset"},
    "kube_daemonset_status_number_unavailable": {"namespace", "daemonset"},
    "kube_daemonset_status_updated_number_scheduled": {"namespace", "daemonset"},
    "kube_pod_info": {"namespace", "node", "created_by_kind", "created_by_name"},
    "kube_node_status_condition": {"node", "condition", "status"},
    "kube_volumeattachment_info": {"volumeattachment", "attacher", "node"},
    "kubelet_volume_stats_available_bytes": {"namespace", "persistentvolumeclaim"},
    "kubelet_volume_stats_capacity_bytes": {"namespace", "persistentvolumeclaim"},
    "storage_operation_duration_seconds": {"operation_name", "status", "volume_plugin"},
}
_METRIC = re.compile(r"\b((?:csi|kube|kubelet|storage)_\w+?)(?:_(?:bucket|count|sum))?\b(?!_)")
_OF_EVERY_TARGET = {"instance", "job", "le"}


def alerts() -> list[dict[str, str]]:
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def asked_for(rule: dict[str, str]) -> set[str]:
    """Return whose metrics a rule asks for: `controller`, `node`, `both`, or `other`."""
    whose = {name: owner.split()[0] for name, (_, owner) in documented().items()}
    return {whose.get(each, "other") for each in _METRIC.findall(rule["expr"])}


def labels_of(metric: str) -> set[str]:
    """Return the labels of a metric; raise KeyError for one that nobody has."""
    if metric in _FOREIGN:
        return _FOREIGN[metric]
    return set(documented()[metric][0].labels)


def labels_used(query: str) -> Iterator[str]:
    """Yield the labels that a query selects, or groups by."""
    for found in re.findall(r"\b(?:by|on) \(([^)]*)\)", query):
        yield from (each.strip() for each in found.split(","))
    for found in re.findall(r"{([^}]*)}", query):
        yield from re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", found)


def faults_of(query: str) -> list[str]:
    """Return the metrics and labels of a query that do not exist."""
    metrics = set(_METRIC.findall(query))
    known = {each for each in metrics if each in _FOREIGN or each in documented()}
    labels = set().union(*(labels_of(each) for each in known)) | _OF_EVERY_TARGET
    return sorted(metrics - known) + sorted(set(labels_used(query)) - labels)


@pytest.mark.fast
@pytest.mark.parametrize("query", [*queries(), *(each["expr"] for each in alerts())])
def test_every_query_asks_for_what_there_is(query: str) -> None:  # N3
    assert _METRIC.findall(query)
    assert faults_of(query) == []


@pytest.mark.fast
@pytest.mark.parametrize(
    "query",
    [
        "csi_exoblock_nothing > 0",
        'csi_exoblock_api_up{place="x"}',
        "sum by (id) (csi_exoblock_api_up)",
    ],
)
def test_query_for_what_there_is_not_is_found(query: str) -> None:
    assert len(faults_of(query)) == 1


@pytest.mark.fast
def test_every_alert_has_a_runbook_and_every_runbook_an_alert() -> None:  # N3
    named = {each["alert"]: each["annotations"]["runbook"] for each in alerts()}  # type: ignore[index]
    pages = re.findall(
        r"^## (Exoblock\w+)$", (ROOT / "docs" / "runbooks.md").read_text(), re.MULTILINE
    )

    assert named == {name: f"docs/runbooks.md#{name.lower()}" for name in pages}


@pytest.mark.fast
def test_what_asks_only_for_metrics_of_controllers_is_a_group_of_its_own() -> None:  # N3
    # The chart leaves it out where it installs no controller, and nobody shows these metrics.
    groups = yaml.safe_load((MONITORING / "rules.yaml").read_text())["groups"]
    of_controllers = {
        rule["alert"]: group["name"] == "exoblock-controller"
        for group in groups
        for rule in group["rules"]
    }

    assert of_controllers == {rule["alert"]: "controller" in asked_for(rule) for rule in alerts()}


@pytest.mark.fast
def test_every_alert_is_tried_out() -> None:  # N3
    tried = (MONITORING / "rules_test.yaml").read_text()

    assert [each["alert"] for each in alerts() if each["alert"] not in tried] == []


@pytest.mark.fast
def test_the_dashboard_is_current() -> None:
    assert DASHBOARD.read_text() == text()


def test_the_rules_fire_when_they_should() -> None:  # N3
    tool = shutil.which("promtool", path=f"{ROOT / '.venv' / 'bin'}:/usr/local/bin:/usr/bin")
    if tool is None:
        pytest.skip("promtool is missing; .ci/promtool fetches it")

    ended = subprocess.run(
        (tool, "test", "rules", MONITORING / "rules_test.yaml"),
        capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout + ended.stderr
