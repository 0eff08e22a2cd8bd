"""Write deploy/monitoring/dashboard.json, for Grafana: `python -m tests.monitoring.dashboard`.

From top to bottom it answers: can users get storage now; what is slow, and whose fault is it; what
is running out; what costs money for nothing.
"""

from __future__ import annotations

import json
import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

DASHBOARD = pathlib.Path(__file__).parents[2] / "deploy" / "monitoring" / "dashboard.json"

Json = dict[str, Any]

_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_ALL_COLUMNS, _HEIGHT = 24, 7


@dataclass(frozen=True, slots=True, kw_only=True)
class Panel:
    """A graph, or a single number.

    Attributes:
        says: What a reader learns from it, and from which value on to worry.
        queries: Legend and query.
        red_from: From which value on it is bad, `None` if none is by itself.
        red_below: Whether low values are the bad ones.
    """

    title: str
    says: str
    queries: Mapping[str, str]
    unit: str = "short"
    kind: str = "timeseries"
    columns: int = 8
    red_from: float | None = None
    red_below: bool = False


def _quantile(metric: str, by: str, matching: str = "") -> str:
    rates = f"sum by (le, {by}) (rate({metric}_bucket{{{matching}}}[$__rate_interval]))"
    return f"histogram_quantile(0.95, {rates})"


_CSI = "csi_plugin_operations_seconds"
# Drivers of others have this metric too. The chart puts the driver's name in the pattern's place.
_OURS = 'driver_name=~"(exoblock.)?csi.exoscale.com"'
_DONE = "OK|Aborted|Unavailable|DeadlineExceeded"

ROWS: Mapping[str, Sequence[Panel]] = {
    "Can users get storage now?": (
        Panel(
            title="API of each zone",
            says="1: the cloud's API answers each controller. 0: not one of them; while that one "
            "leads, nothing can be changed in that zone. And how many controllers there are.",
            queries={
                "{{zone}}": "min by (zone) (csi_exoblock_api_up)",
                "controllers": "count(count by (instance) (csi_exoblock_api_up)) or vector(0)",
            },
            kind="stat",
            red_from=1,
            red_below=True,
        ),
        Panel(
            title="Node plugins that kubelet knows",
            says="Node plugins that Kubernetes wants (from kube-state-metrics), those that run, "
            "and those that their nodes' CSINode lists.",
            queries={
                "wanted": "sum(kube_daemonset_status_desired_number_scheduled"
                '{daemonset=~".*exoblock.*"})',
                "running": "count(csi_exoblock_attach_limit) or vector(0)",
                "registered": "sum(csi_exoblock_registered) or vector(0)",
            },
            kind="stat",
        ),
        Panel(
            title="Volumes that are not well",
            says="By what is wrong. INACCESSIBLE: pods can't use it. DEGRADED: they still can.",
            queries={
                "{{status}} {{reason}}": "sum by (status, reason) "
                "(max by (status, reason, instance) (csi_exoblock_unhealthy_volumes))"
            },
            kind="stat",
            red_from=1,
        ),
        Panel(
            title="Calls that failed for good",
            says="Refusals that are not repeated at once, by code: something must be done.",
            queries={
                "{{method_name}} {{grpc_status_code}}": "sum by (method_name, grpc_status_code) "
                f'(rate({_CSI}_count{{{_OURS}, grpc_status_code!~"{_DONE}"}}[$__rate_interval]))'
            },
            unit="reqps",
            columns=12,
        ),
        Panel(
            title="Calls that come again",
            says="Aborted, Unavailable and DeadlineExceeded: repeated by themselves; many of them "
            "for long mean that something does not get on.",
            queries={
                "{{method_name}} {{grpc_status_code}}": "sum by (method_name, grpc_status_code) "
                f"(rate({_CSI}_count{{{_OURS}, "
                'grpc_status_code=~"Aborted|Unavailable|DeadlineExceeded"}'
                "[$__rate_interval]))"
            },
            unit="reqps",
            columns=12,
        ),
    ),
    "What is slow, and whose fault is it?": (
        Panel(
            title="CSI calls, 95 of 100 are faster",
            says="What Kubernetes waits for. Compare with the cloud, the host and kubelet below.",
            queries={"{{method_name}}": _quantile(_CSI, "method_name", _OURS)},
            unit="s",
            columns=12,
        ),
        Panel(
            title="The cloud: operations, 95 of 100 are faster",
            says="How long the cloud takes to attach, create, … after it has said yes.",
            queries={
                "{{operation}} {{outcome}}": _quantile(
                    "csi_exoblock_operation_wait_seconds", "operation, outcome"
                )
            },
            unit="s",
            columns=12,
        ),
        Panel(
            title="The cloud: requests, 95 of 100 are faster",
            says="How long its API takes to answer.",
            queries={"{{operation}}": _quantile("csi_exoblock_api_request_seconds", "operation")},
            unit="s",
        ),
        Panel(
            title="The cloud: too many requests",
            says="server: refused by the API for their rate. client: waited in the driver first.",
            queries={
                "{{by}}": "sum by (by) (rate(csi_exoblock_api_throttled_total[$__rate_interval]))"
            },
            unit="reqps",
        ),
        Panel(
            title="The cloud: requests under way",
            says="Many for long: the API is slow or does not answer.",
            queries={"{{zone}}": "sum by (zone) (csi_exoblock_api_requests_in_flight)"},
        ),
        Panel(
            title="The host: commands, 95 of 100 are faster",
            says="mkfs and checks of file systems take long on large volumes.",
            queries={
                "{{command}} {{outcome}}": _quantile(
                    "csi_exoblock_host_command_seconds", "command, outcome"
                )
            },
            unit="s",
        ),
        Panel(
            title="Kubelet: mounting and attaching, 95 of 100 are faster",
            says="All that kubelet and the attach-detach controller do around the driver's calls, "
            "fsGroup included; from their own metrics.",
            queries={
                "{{operation_name}} {{status}}": _quantile(
                    "storage_operation_duration_seconds",
                    "operation_name, status",
                    'volume_plugin=~"kubernetes.io/csi.*"',
                )
            },
            unit="s",
        ),
        Panel(
            title="What is asked for in vain, oldest lock and oldest detach",
            says="A lock over 5 minutes, a detach over 6, a call that has failed for 10: see the "
            "runbooks.",
            queries={
                "lock, {{instance}}": "csi_exoblock_lock_oldest_seconds",
                "detach": "max(csi_exoblock_detach_pending_oldest_seconds)",
                "{{method_name}}": "max by (method_name) (csi_exoblock_failing_oldest_seconds)",
            },
            unit="s",
            red_from=300,
        ),
    ),
    "What is running out?": (
        Panel(
            title="Quotas of the organisation",
            says="How much of each is used. At 100 % claims or snapshots fail.",
            queries={
                "{{resource}}": 'max by (resource) (csi_exoblock_quota_usage{resource=~"'
                'block-storage|block-storage-volume|block-storage-snapshot"}) '
                "/ max by (resource) (csi_exoblock_quota_limit)"
            },
            unit="percentunit",
            red_from=0.9,
        ),
        Panel(
            title="Free slots of each node",
            says="How many more volumes an instance takes. None: pods with volumes go elsewhere.",
            queries={"{{instance}}": "csi_exoblock_free_slots"},
        ),
        Panel(
            title="Claims with the least space",
            says="Free part of their file systems, from kubelet's statistics.",
            queries={
                "{{namespace}}/{{persistentvolumeclaim}}": "bottomk(10, "
                "min by (namespace, persistentvolumeclaim) (kubelet_volume_stats_available_bytes) "
                "/ max by (namespace, persistentvolumeclaim) (kubelet_volume_stats_capacity_bytes))"
            },
            unit="percentunit",
        ),
        Panel(
            title="Volumes that wait to grow",
            says="They grow when their pods are replaced.",
            queries={
                "volumes": "max(csi_exoblock_resize_pending_volumes)",
            },
        ),
        Panel(
            title="The oldest of them",
            says="How long it has waited.",
            queries={"age": "max(csi_exoblock_resize_pending_oldest_seconds)"},
            unit="s",
        ),
    ),
    "What costs money for nothing?": (
        Panel(
            title="Orphans",
            says="Volumes and snapshots of this cluster that Kubernetes doesn't know; "
            "`csi-exoblock orphans` lists them.",
            queries={"{{kind}}": "max by (kind) (csi_exoblock_orphans)"},
        ),
        Panel(
            title="Age of the oldest orphan",
            says="What is younger than some minutes is only being made or deleted.",
            queries={"{{kind}}": "max by (kind) (csi_exoblock_orphan_oldest_seconds)"},
            unit="s",
            red_from=86400,
        ),
        Panel(
            title="Volumes of others on nodes",
            says="Attached by another driver or by hand; each takes the place of a claim's volume.",
            queries={"{{instance}}": "csi_exoblock_foreign_attachments"},
        ),
        Panel(
            title="Disks that were not formatted",
            says="Refused because they may hold data; the claim is paid for and not used.",
            queries={
                "{{reason}}": "sum by (reason) (increase(csi_exoblock_format_refused_total[1h]))"
            },
        ),
        Panel(
            title="Errors of the driver itself",
            says="Please report them: they are faults.",
            queries={
                "{{method_name}}": "sum by (method_name) "
                "(increase(csi_exoblock_unexpected_errors_total[1h]))",
                "{{task}}": "sum by (task) (increase(csi_exoblock_background_errors_total[1h]))",
            },
        ),
    ),
}


def dashboard() -> Json:
    """Return the dashboard as Grafana imports it."""
    return {
        "uid": "exoblock",
        "title": "Exoscale Block Storage (csi_exoblock)",
        "tags": ["storage", "csi", "exoscale"],
        "schemaVersion": 39,
        "editable": True,
        "time": {"from": "now-6h", "to": "now"},
        "refresh": "1m",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Prometheus",
                    "type": "datasource",
                    "query": "prometheus",
                }
            ]
        },
        "panels": list(_panels()),
    }


def text() -> str:
    """Return the file's content."""
    return json.dumps(dashboard(), indent=1) + "\n"


def queries() -> list[str]:
    """Return every query of the dashboard."""
    return [query for row in ROWS.values() for panel in row for query in panel.queries.values()]


def _panels() -> Iterator[Json]:
    number, y = 0, 0
    for title, row in ROWS.items():
        number += 1
        yield {"id": number, "type": "row", "title": title, "gridPos": _place(0, y, 24, 1)}
        x, y = 0, y + 1
        for panel in row:
            if x + panel.columns > _ALL_COLUMNS:
                x, y = 0, y + _HEIGHT
            number += 1
            yield _panel(panel, number, _place(x, y, panel.columns, _HEIGHT))
            x += panel.columns
        y += _HEIGHT


def _panel(panel: Panel, number: int, place: Json) -> Json:
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.says,
        "datasource": _SOURCE,
        "gridPos": place,
        "fieldConfig": {
            "defaults": {"unit": panel.unit, "min": 0, "thresholds": _thresholds(panel)},
            "overrides": [],
        },
        "targets": [
            {
                "refId": chr(ord("A") + index),
                "datasource": _SOURCE,
                "expr": query,
                "legendFormat": legend,
            }
            for index, (legend, query) in enumerate(panel.queries.items())
        ],
    }


def _thresholds(panel: Panel) -> Json:
    if panel.red_from is None:
        return {"mode": "absolute", "steps": [{"color": "blue", "value": None}]}
    below, above = ("red", "green") if panel.red_below else ("green", "red")
    return {
        "mode": "absolute",
        "steps": [{"color": below, "value": None}, {"color": above, "value": panel.red_from}],
    }


def _place(x: int, y: int, width: int, height: int) -> Json:
    return {"x": x, "y": y, "w": width, "h": height}


if __name__ == "__main__":
    DASHBOARD.write_text(text())
