"""The alerts and the dashboard that the chart ships, with the names that its values give."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import render
from tests.monitoring.prometheus import program
from tests.monitoring.test_rules import asked_for

pytestmark = pytest.mark.thorough

_SETS = "--set=node.additionalDaemonSets.large.volumeAttachLimit=9"
_OTHERS = ("somebodys-exoblock-node", "disks-node-larger", "disks-controller")


def alerts(*options: str) -> Mapping[str, Any]:
    """Return the `spec` of the PrometheusRule."""
    manifests = render("--set=prometheusRule.enabled=true", *options)
    (found,) = (each for each in manifests if each["kind"] == "PrometheusRule")
    spec: Mapping[str, Any] = found["spec"]
    return spec


def rules(spec: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """Return the rules by their names."""
    return {each["alert"]: each for group in spec["groups"] for each in group["rules"]}


def queries(*options: str) -> str:
    """Return the dashboard's queries, one a line."""
    manifests = render("--set=dashboard.enabled=true", *options)
    (found,) = (each for each in manifests if each["metadata"]["name"].endswith("-dashboard"))
    panels = json.loads(found["data"]["csi-exoblock.json"])["panels"]
    return "\n".join(each["expr"] for panel in panels for each in panel.get("targets", ()))


@pytest.mark.parametrize("name", ["exoblock.csi.exoscale.com", "csi.exoscale.com", "csi.other.ch"])
def test_alert_of_dead_nodes_asks_for_volumes_of_this_driver(name: str) -> None:
    rule = rules(alerts(f"--set=driverName={name}"))["ExoblockNodeDead"]

    assert f'kube_volumeattachment_info{{attacher="{name}"}}' in rule["expr"]


def test_no_alert_asks_for_metrics_of_a_controller_where_none_is_installed() -> None:  # N3
    everywhere = rules(alerts())

    found = rules(alerts("--set=nodeComponentOnly=true"))

    assert "ExoblockControllerGone" in everywhere
    assert [each for each, rule in found.items() if "controller" in asked_for(rule)] == []
    assert {each for each, rule in everywhere.items() if "controller" not in asked_for(rule)} == {
        *found
    }


def test_dashboard_shows_calls_of_this_driver_and_its_own_daemon_sets() -> None:  # N3
    shown = queries("--set=driverName=csi.other.ch", "--set=nameOverride=disks", _SETS)

    asked = [each for each in shown.splitlines() if "csi_plugin_operations_seconds" in each]
    assert asked
    assert all('{driver_name="csi.other.ch"' in each for each in asked)
    assert '{namespace="kube-system", daemonset=~"disks-node|disks-node-large"}' in shown


@pytest.mark.parametrize("name", ["disks", "csi-exoblock"])
def test_alert_of_missing_plugins_knows_the_daemon_sets_of_the_values(
    tmp_path: Path, name: str
) -> None:  # N3
    spec = alerts(f"--set=nameOverride={name}", _SETS)
    missing = [f"{name}-node", f"{name}-node-large"]

    tried = firing(
        tmp_path,
        spec,
        [
            *(plugins("kube-system", each, unavailable=1) for each in (*missing, *_OTHERS)),
            *(plugins("elsewhere", each, unavailable=1) for each in missing),
        ],
        expected=[("kube-system", each) for each in missing],
    )

    assert tried.returncode == 0, tried.stdout + tried.stderr


def plugins(namespace: str, daemon_set: str, *, unavailable: int) -> list[dict[str, str]]:
    """Return what kube-state-metrics shows of a DaemonSet."""
    labels = f'{{namespace="{namespace}", daemonset="{daemon_set}"}}'
    shown = {"number_unavailable": unavailable, "updated_number_scheduled": 3}
    return [
        {"series": f"kube_daemonset_status_{each}{labels}", "values": f"{value}x60"}
        for each, value in shown.items()
    ]


def firing(
    folder: Path,
    spec: Mapping[str, Any],
    series: list[list[dict[str, str]]],
    *,
    expected: list[tuple[str, str]],
) -> subprocess.CompletedProcess[str]:
    """Have promtool compare the DaemonSets for which the alert of missing plugins fires."""
    (folder / "rules.yaml").write_text(yaml.safe_dump(dict(spec)))
    fires = 'ALERTS{alertname="ExoblockNodePluginGone", alertstate="firing"}'
    samples = [
        {"labels": f'{{namespace="{namespace}", daemonset="{daemon_set}"}}', "value": 1}
        for namespace, daemon_set in expected
    ]
    query = {
        "expr": f"count by (namespace, daemonset) ({fires})",
        "eval_time": "20m",
        "exp_samples": samples,
    }
    test = {
        "rule_files": ["rules.yaml"],
        "evaluation_interval": "1m",
        "tests": [
            {
                "interval": "1m",
                "input_series": [each for group in series for each in group],
                "promql_expr_test": [query],
            }
        ],
    }
    (folder / "test.yaml").write_text(yaml.safe_dump(test))
    command = (program("promtool"), "test", "rules", str(folder / "test.yaml"))
    return subprocess.run(command, capture_output=True, text=True, check=False)
