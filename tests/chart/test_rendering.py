"""What Helm makes of the chart's values."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from csi_exoblock.timing import Timing
from tests.chart.helm import CHART, Manifest, helm, notes, render, render_text
from tests.chart.other_values import NEEDED, options, render_changed, single_values
from tests.chart.rendered import PAGE, rendered

pytestmark = pytest.mark.thorough

_ROOT = Path(__file__).parents[2]
_CLUSTER = ("v1/Pod",)
_SNAPSHOTS = (*_CLUSTER, "snapshot.storage.k8s.io/v1/VolumeSnapshotContent")
_K0S = "/var/lib/k0s/kubelet"
_MIRROR = "mirror.example.com/copies"
# How long a container must have run for kubelet to start it again without a pause.
_KUBELET_FORGETS_SECONDS = 600


@pytest.fixture(scope="module")
def defaults() -> list[Manifest]:
    """The chart as it is without any value."""
    return render()


def test_chart_passes_helms_own_lint() -> None:
    subprocess.run([helm(), "lint", "--strict", "--quiet", CHART], check=True)


def test_manifests_for_people_without_helm_are_current() -> None:
    assert PAGE.read_text() == rendered(), "run `make docs`"


@pytest.mark.parametrize("path", [each.path for each in single_values()])
def test_every_value_has_an_effect(path: str, tmp_path: Path, defaults: list[Manifest]) -> None:
    needed = NEEDED.get(path, {})
    usual = render(*options(tmp_path, needed)) if needed else defaults

    assert [each for each in yaml.safe_load_all(render_changed(path)) if each] != usual


def test_registry_prefix_leaves_no_image_outside() -> None:  # F3
    manifests = render(
        f"--set=imageRegistry={_MIRROR}", "--set=node.additionalDaemonSets.a.selinux=true"
    )

    images = [container["image"] for container in _containers(manifests)]

    assert len(images) == 7
    assert [image for image in images if not image.startswith(f"{_MIRROR}/")] == []
    assert f"{_MIRROR}/sig-storage/csi-attacher:v4.13.0" in images


def test_no_image_changes_behind_its_name(defaults: list[Manifest]) -> None:  # F3
    for container in _containers(defaults):
        assert container["imagePullPolicy"] != "Always"
        assert not re.search(r":latest$|/[^:]*$", container["image"])


def test_image_can_be_pinned_by_digest() -> None:  # N13
    digest = f"sha256:{64 * 'a'}"

    manifests = render(f"--set=image.digest={digest}")

    pinned = [each["image"] for each in _containers(manifests) if each["name"] == "csi-exoblock"]
    assert pinned == 2 * [f"ghcr.io/csi-exoblock/csi-exoblock:0.1.0@{digest}"]


def test_other_kubelet_path_leaves_no_default_path() -> None:  # F4
    assert "/var/lib/kubelet" not in render_text(f"--set=node.kubeletPath={_K0S}")


@pytest.mark.parametrize(
    ("enabled", "kinds", "expected"),
    [
        ("auto", (), True),
        ("auto", _CLUSTER, False),
        ("auto", _SNAPSHOTS, True),
        ("true", _CLUSTER, True),
        ("false", _SNAPSHOTS, False),
    ],
)
def test_snapshotter_is_where_the_snapshot_crds_are(
    enabled: str, kinds: tuple[str, ...], expected: bool
) -> None:  # F6
    manifests = render(f"--set=sidecars.snapshotter.enabled={enabled}", kinds=kinds)

    assert ("csi-snapshotter" in {each["name"] for each in _containers(manifests)}) is expected
    assert ("VolumeSnapshotClass" in {each["kind"] for each in manifests}) is expected
    assert "CustomResourceDefinition" not in {each["kind"] for each in manifests}


def test_names_do_not_depend_on_the_release() -> None:
    command = [str(helm()), "template", "another", str(CHART), "--namespace=kube-system"]
    text = subprocess.run(command, check=True, capture_output=True, text=True).stdout

    manifests = [each for each in yaml.safe_load_all(text) if each]

    assert _keys(manifests) == _keys(render())
    for each in manifests:
        selector = each.get("spec", {}).get("selector", {})
        assert "another" not in str(selector)


def test_notes_say_why_there_are_no_snapshots() -> None:
    said = notes("--set=sidecars.snapshotter.enabled=false")

    assert "No snapshots: the value sidecars.snapshotter.enabled is false." in said
    assert "CRDs" not in said


def test_nodes_may_ask_for_the_address_of_the_metadata_server() -> None:  # S10: by its name
    (found,) = (
        each
        for each in render("--set=networkPolicy.enabled=true")
        if (each["kind"], each["metadata"]["name"]) == ("NetworkPolicy", "csi-exoblock-node")
    )

    open_to_all = [each["ports"] for each in found["spec"]["egress"] if "to" not in each]
    assert [{"protocol": each, "port": 53} for each in ("UDP", "TCP")] in open_to_all


def test_notes_can_be_pasted_into_a_shell() -> None:
    checks, _, claim = notes().partition("A first claim, which is bound when a pod uses it:\n")
    commands = "".join(line for line in checks.splitlines(True) if line.startswith("  "))

    # zsh ends a command whose pattern fits no file, as bash does with this option.
    command = ["bash", "-O", "failglob", "-c"]
    printed = [
        subprocess.run(
            [*command, f"kubectl() {{ {answer}; }}\n{pasted}"],
            check=True,
            capture_output=True,
            text=True,
        )
        for answer, pasted in (('echo "$@"', commands), ("cat", claim))
    ]

    assert [each.stderr for each in printed] == ["", ""]
    assert len(printed[0].stdout.splitlines()) == commands.count("  kubectl")
    assert yaml.safe_load(printed[1].stdout)["kind"] == "PersistentVolumeClaim"


def test_chart_has_no_hooks_and_looks_nothing_up() -> None:
    for template in (CHART / "templates").iterdir():
        assert "helm.sh/hook" not in template.read_text()
        assert "lookup" not in template.read_text()


def test_workers_of_the_driver_exceed_those_of_the_sidecars() -> None:  # S21
    (driver, *_) = (
        each
        for each in _containers(render("--set=sidecars.provisioner.workers=300"))
        if "controller" in each["args"]
    )

    # Twice those of the provisioner and of the resizer, which have two kinds of work.
    assert "--grpc-workers=790" in driver["args"]


@pytest.mark.parametrize("option", ["--set=node.selinux=true", "--set=node.selinux=false"])
def test_volumes_are_labelled_by_mount_only_where_the_plugin_can(option: str) -> None:  # S24
    (driver,) = (each for each in render(option) if each["kind"] == "CSIDriver")

    assert str(driver["spec"]["seLinuxMount"]).lower() == option.rpartition("=")[2]


def test_driver_that_is_not_ready_keeps_no_sidecar_from_starting_again() -> None:  # N14
    """A sidecar waits for the driver before it serves its own health."""
    sidecars = [each for each in _containers(render()) if "--leader-election" in each["args"]]

    assert {"csi-attacher", "csi-provisioner"} < {each["name"] for each in sidecars}
    for each in sidecars:
        alive = each["livenessProbe"]
        assert alive["failureThreshold"] * alive["periodSeconds"] > _KUBELET_FORGETS_SECONDS


def test_cluster_whose_controller_runs_elsewhere_has_the_csidriver() -> None:  # S24, N14
    """Its kubelets and its scheduler read it."""
    kinds = {each["kind"] for each in render("--set=nodeComponentOnly=true")}

    assert {"CSIDriver", "DaemonSet"} <= kinds
    assert kinds.isdisjoint({"Deployment", "StorageClass", "Secret"})


def test_notes_say_that_alerts_need_the_metrics() -> None:  # N3
    alone = notes("--set=prometheusRule.enabled=true")
    scraped = notes("--set=prometheusRule.enabled=true", "--set=metrics.enabled=true")

    assert "fire until Prometheus scrapes the driver" in alone
    assert "fire until Prometheus scrapes the driver" not in scraped


def test_controllers_that_are_not_ready_hold_up_no_drain() -> None:  # S22, N14
    (budget,) = (each for each in render() if each["kind"] == "PodDisruptionBudget")

    assert budget["spec"]["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


def test_sidecars_wait_for_longer_than_the_driver() -> None:  # S3, F11: else nobody gets its words
    driver = Timing().create_timeout + Timing().api_timeout
    waits = [
        (each["name"], float(argument.partition("=")[2].removesuffix("s")))
        for each in _containers(render())
        for argument in each.get("args", ())
        if re.match(r"--(resize-|modify-)?timeout=", argument)
    ]

    assert len(waits) == 5
    assert [each for each in waits if each[1] <= driver] == []


def _containers(manifests: list[Manifest]) -> Iterator[dict[str, Any]]:
    for each in manifests:
        if each["kind"] in ("Deployment", "DaemonSet"):
            yield from each["spec"]["template"]["spec"]["containers"]


def _keys(manifests: list[Manifest]) -> set[tuple[str, str]]:
    return {(each["kind"], each["metadata"]["name"]) for each in manifests}
