"""More DaemonSets for nodes of other kinds: `node.additionalDaemonSets`."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, Manifest, refusal, render

pytestmark = pytest.mark.thorough

_SET = "node.additionalDaemonSets.large"
_METRICS = ("--set=metrics.enabled=true", "--set=serviceMonitor.enabled=true")


@pytest.mark.parametrize(
    "wrong",
    [
        {"volumeAttachLimt": 9},
        {"volumeAttachLimit": "nine"},
        {"volumeAttachLimit": 0},
        {"kubeletPath": "var/lib/kubelet"},
        {"logLevel": "loud"},
        {"podLabels": "a=b"},
        {"terminationGracePeriodSeconds": 1},
        # All sets share the account of the main one.
        {"serviceAccount": {"name": "other"}},
        {"rbac": {"create": False}},
        {"additionalDaemonSets": {}},
    ],
    ids=str,
)
def test_values_of_a_set_are_checked_like_those_of_the_main_one(wrong: dict[str, Any]) -> None:
    assert "node/additionalDaemonSets/large" in refusal(f"--set-json={_SET}={json.dumps(wrong)}")


@pytest.mark.parametrize("name", ["Large", "two_words", "-large", "large-", "a\\.b", 38 * "a"])
def test_set_has_a_name_that_objects_can_have(name: str) -> None:
    assert "node/additionalDaemonSets" in refusal(
        f"--set=node.additionalDaemonSets.{name}.volumeAttachLimit=9"
    )


def test_set_replaces_each_value_that_it_names() -> None:
    named = {
        "nodeSelector": {"pool": "large"},
        "resources": {"limits": {"memory": "2Gi"}},
        "containerSecurityContext": {"privileged": True},
    }

    main, large = _daemon_sets(
        render("--set=node.podLabels.team=a", f"--set-json={_SET}={json.dumps(named)}")
    )

    assert large["spec"]["nodeSelector"] == named["nodeSelector"]
    (container,) = large["spec"]["containers"]
    assert container["resources"] == named["resources"]
    assert container["securityContext"] == named["containerSecurityContext"]
    assert large["metadata"]["labels"]["team"] == "a"
    assert main["spec"]["nodeSelector"] == {"kubernetes.io/os": "linux"}


def test_set_that_names_nothing_is_like_the_main_one() -> None:
    main, large = _daemon_sets(render(f"--set-json={_SET}={{}}"))

    assert large["spec"]["nodeSelector"] == main["spec"]["nodeSelector"]


def test_metrics_of_every_pod_are_scraped_once() -> None:
    manifests = render(*_METRICS, f"--set={_SET}.volumeAttachLimit=9")
    services = [each for each in manifests if each["kind"] == "Service"]
    monitors = [each for each in manifests if each["kind"] == "ServiceMonitor"]

    pods = [_labels(each) for each in manifests if each["kind"] in ("Deployment", "DaemonSet")]
    found = [each for each in services for pod in pods if _selects(each["spec"]["selector"], pod)]
    scraped = [
        each
        for each in services
        for monitor in monitors
        if _selects(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])
    ]

    assert len(pods) == 3
    assert len({each["metadata"]["name"] for each in found}) == len(found) == 3
    assert _sorted(scraped) == _sorted(services)


def test_alerts_and_dashboard_count_the_nodes_of_every_set() -> None:
    # Each set has a Service of its own, whose name Prometheus makes the job.
    shown = [(CHART / "files" / name).read_text() for name in ("rules.yaml", "dashboard.json")]

    assert [each for each in shown if re.search(r"\b(job|service|component)\s*[=!]", each)] == []


def test_example_of_the_readme_gives_each_node_one_pod(tmp_path: Path) -> None:
    (example,) = (
        each
        for each in re.findall(r"```yaml\n(.*?)```", (CHART / "README.md").read_text(), re.DOTALL)
        if "additionalDaemonSets" in each
    )
    path = tmp_path / "values.yaml"
    path.write_text(example)

    main, other = _daemon_sets(render(f"--values={path}"))

    label, value = list(other["spec"]["nodeSelector"].items())[-1]
    required = "requiredDuringSchedulingIgnoredDuringExecution"
    (term,) = main["spec"]["affinity"]["nodeAffinity"][required]["nodeSelectorTerms"]
    assert {"key": label, "operator": "NotIn", "values": [value]} in term["matchExpressions"]
    assert label not in yaml.safe_dump(other["spec"]["affinity"])


def _daemon_sets(manifests: list[Manifest]) -> list[dict[str, Any]]:
    """Return the pods of the main set, then those of the others."""
    return [each["spec"]["template"] for each in manifests if each["kind"] == "DaemonSet"]


def _labels(workload: Manifest) -> dict[str, str]:
    labels: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return labels


def _selects(selector: dict[str, str], labels: dict[str, str]) -> bool:
    return selector.items() <= labels.items()


def _sorted(manifests: list[Manifest]) -> list[str]:
    return sorted(each["metadata"]["name"] for each in manifests)
