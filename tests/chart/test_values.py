"""Values that cannot be right are refused, before anything is installed."""

from __future__ import annotations

import json
from typing import Any

import pytest
import yaml

from tests.chart.helm import refusal, render_text

pytestmark = pytest.mark.thorough

_SET = "node.additionalDaemonSets.large"


@pytest.mark.parametrize(
    "wrong",
    [
        "--set=nod.selinux=true",
        "--set=node.selinuks=true",
        "--set=controller.replicaCount=two",
        "--set=sidecars.attacher.image.tagg=v1",
        "--set=storageClasses[0].name=a,storageClasses[0].reclaim=Keep",
    ],
)
def test_unknown_values_are_refused(wrong: str) -> None:
    assert "values don't meet the specifications of the schema" in refusal(wrong)


@pytest.mark.parametrize(
    "wrong",
    [
        "controller.apiEndpoint=api-ch-gva-2.exoscale.com",
        "controller.labelPrefix=",
        "controller.labelPrefix=-",
        "driverName=Exoblock",
        "image.digest=sha256:abc",
        "image.registry=",
        "image.registry=https://registry.example.com",
        "imageRegistry=https://mirror.example.com",
        "nameOverride=Foo_Bar",
        "nameOverride=1st",
        "nameOverride=a-",
        "node.kubeletPath=/var/lib/kubelet/",
        "proxy.httpsProxy=10.0.0.1:3128",
        "sidecars.attacher.image.registry=",
        "sidecars.attacher.leaderElection.leaseDuration=15",
        "sidecars.provisioner.leaderElection.leaseDuration=14s",
    ],
)
def test_wrong_values_are_refused(wrong: str) -> None:
    assert wrong.partition("=")[0].replace(".", "/") in refusal(f"--set-string={wrong}")


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        ("imagePullSecrets", ["regcred"]),
        ("imagePullSecrets", [{}]),
        ("metrics.port", 8081),
        ("metrics.port", 8084),
        ("networkPolicy.apiServerPorts", []),
        ("networkPolicy.apiServerPorts", ["443"]),
        ("networkPolicy.apiServerPorts", [0]),
    ],
)
def test_wrong_lists_and_numbers_are_refused(value: str, wrong: object) -> None:
    assert value.replace(".", "/") in refusal(f"--set-json={value}={json.dumps(wrong)}")


@pytest.mark.parametrize(
    "value",
    [
        "commonLabels",
        "controller.nodeSelector",
        "controller.podAnnotations",
        "controller.podLabels",
        "controller.serviceAccount.annotations",
        "dashboard.labels",
        "node.nodeSelector",
        "node.podAnnotations",
        "node.podLabels",
        "node.serviceAccount.annotations",
        "node.additionalDaemonSets.large.podLabels",
        "prometheusRule.labels",
        "serviceMonitor.labels",
    ],
)
@pytest.mark.parametrize("wrong", [True, 1, {"b": "c"}], ids=str)
def test_labels_and_annotations_are_text(value: str, wrong: object) -> None:
    assert f"{value.replace('.', '/')}/a" in refusal(
        f"--set-json={value}={json.dumps({'a': wrong})}"
    )


@pytest.mark.parametrize("kind", ["storage", "volumeSnapshot", "volumeAttributes"])
@pytest.mark.parametrize("field", ["labels", "annotations"])
def test_labels_and_annotations_of_classes_are_text(kind: str, field: str) -> None:
    wrong = [{"name": "a", "parameters": {}, field: {"b": True}}]

    assert f"{kind}Classes/0/{field}/b" in refusal(f"--set-json={kind}Classes={json.dumps(wrong)}")


@pytest.mark.parametrize("value", ["commonLabels", "controller.podLabels", "node.podLabels"])
@pytest.mark.parametrize("label", ["name", "component", "part-of"])
def test_labels_that_find_the_pods_cannot_be_taken(value: str, label: str) -> None:
    assert value.replace(".", "/") in refusal(
        f"--set-json={value}={json.dumps({f'app.kubernetes.io/{label}': 'mine'})}"
    )


def test_label_that_two_values_set_is_rendered_once() -> None:
    text = render_text(
        "--set=commonLabels.team=all,controller.podLabels.team=a,node.podLabels.team=b",
        "--set=storageClasses[0].name=c,storageClasses[0].labels.team=c",
    )

    manifests = [each for each in yaml.load_all(text, _NoKeyTwice) if each]

    pods = [each["spec"]["template"] for each in manifests if "template" in each.get("spec", {})]
    assert {each["metadata"]["labels"]["team"] for each in pods} == {"a", "b"}
    assert {each["metadata"]["labels"]["team"] for each in manifests} == {"all", "c"}


@pytest.mark.parametrize(
    ("options", "word"),
    [
        (("--set=credentials.apiKey=EXO",), "credentials.apiSecret"),
        (("--set=serviceMonitor.enabled=true",), "metrics.enabled"),
        (("--set=csiDriver.storageCapacity=true",), "controller.capacityFromQuota"),
        (
            ("--set=sidecars.resizer.leaderElection.renewDeadline=15s",),
            "sidecars.resizer.leaderElection.renewDeadline must be below leaseDuration",
        ),
        (("--set=controller.apiEndpoint=http://a.example.com/{zone}",), "--allow-plain-http"),
        (
            ("--set=controller.apiEndpoint=http://localhost.example.com/{zone}",),
            "--allow-plain-http",
        ),
        (("--set=controller.apiEndpoint=https://a.example.com",), "controller.defaultZone"),
        (("--set=node.reservedVolumeAttachments=5",), "node.volumeAttachLimit"),
        (
            ("--set=node.reservedVolumeAttachments=1", f"--set={_SET}.volumeAttachLimit=1"),
            f"{_SET}.volumeAttachLimit",
        ),
    ],
)
def test_values_that_need_another_say_which(options: tuple[str, ...], word: str) -> None:
    assert word in refusal(*options)


@pytest.mark.parametrize(
    "options",
    [
        ("additionalArgs[0]=--allow-plain-http=true", "apiEndpoint=http://a.example.com/{zone}"),
        (
            "env[0].name=CSI_EXOBLOCK_ALLOW_PLAIN_HTTP,controller.env[0].value=true",
            "apiEndpoint=http://a.example.com/{zone}",
        ),
        ("apiEndpoint=http://127.0.0.1:8000/{zone}",),
        ("apiEndpoint=http://[::1]:8000/{zone}",),
        ("apiEndpoint=http://localhost/{zone}",),
        ("defaultZone=ch-gva-2", "apiEndpoint=https://a.example.com"),
        ("additionalArgs[0]=--default-zone=ch-gva-2", "apiEndpoint=https://a.example.com"),
        ("envFrom[0].secretRef.name=more", "apiEndpoint=https://a.example.com"),
    ],
    ids=str,
)
def test_endpoint_that_the_driver_takes_is_rendered(options: tuple[str, ...]) -> None:  # F18
    assert "--api-endpoint=" in render_text(*(f"--set=controller.{each}" for each in options))


class _NoKeyTwice(yaml.SafeLoader):
    """Reads YAML as the API server does that is asked to be strict."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        assert len(set(keys)) == len(keys), keys
        return super().construct_mapping(node, deep=deep)
