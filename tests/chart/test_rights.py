"""The roles of the chart hold what each sidecar's version asks for, and nothing more (S23)."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import CHART, Manifest, render
from tests.support.golang import go_command, wanted_version

_PROGRAMS = Path(__file__).parents[1] / "kubernetes" / "go"
_MODULES = {
    "provisioner": "github.com/kubernetes-csi/external-provisioner/v6",
    "attacher": "github.com/kubernetes-csi/external-attacher/v4",
    "resizer": "github.com/kubernetes-csi/external-resizer/v2",
    "snapshotter": "github.com/kubernetes-csi/external-snapshotter/v8",
}
# Asked for by a feature that is off: --feature-gates=CSIVolumeGroupSnapshot=false.
_OFF = "groupsnapshot.storage.k8s.io"

Right = tuple[str, str, str]
"""An API group, a resource and a verb."""


@pytest.mark.parametrize("sidecar", list(_MODULES))
def test_role_of_a_sidecar_is_that_of_its_version(sidecar: str) -> None:
    (role,) = _of(render(), "ClusterRole", f"csi-exoblock-{sidecar}")
    asked = {right for right in _upstream(sidecar, "ClusterRole") if right[0] != _OFF}

    assert set(_rights(role)) == asked


def test_controllers_own_namespace_gives_it_leases_and_nothing_else() -> None:
    (role,) = _of(render(), "Role", "csi-exoblock-controller")

    for sidecar in _MODULES:
        leases = {each for each in _upstream(sidecar, "Role") if each[1] == "leases"}
        assert set(_rights(role)) == leases


def test_reports_of_capacity_need_what_the_provisioner_asks_for() -> None:
    (role,) = _of(
        render("--set=csiDriver.storageCapacity=true,controller.capacityFromQuota=true"),
        "Role",
        "csi-exoblock-controller",
    )

    assert set(_rights(role)) == set(_upstream("provisioner", "Role"))


def test_node_has_few_rights_and_loses_that_to_change_nodes_on_request() -> None:
    (role,) = _of(render(), "ClusterRole", "csi-exoblock-node")
    (reduced,) = _of(
        render("--set=node.serviceAccount.disableMutation=true"),
        "ClusterRole",
        "csi-exoblock-node",
    )

    patch = ("", "nodes", "patch")
    assert set(_rights(role)) - set(_rights(reduced)) == {patch}
    assert {verb for _, _, verb in _rights(reduced)} <= {"get", "list"}


def test_cluster_id_that_is_given_needs_no_right_to_find_it() -> None:
    name = "csi-exoblock-controller"
    (usual,) = _of(render(), "ClusterRole", name)
    (given,) = _of(render("--set=controller.clusterId=mine"), "ClusterRole", name)

    assert set(_rights(usual)) - set(_rights(given)) == {("", "namespaces", "get")}


def test_nothing_may_read_secrets_or_everything() -> None:
    for role in (each for each in render() if each["kind"] in ("ClusterRole", "Role")):
        for group, resource, verb in _rights(role):
            assert "*" not in (group, resource, verb)
            assert resource != "secrets"


@pytest.mark.parametrize("sidecar", list(_MODULES))
def test_tag_of_a_sidecar_is_the_version_that_the_tests_run(sidecar: str) -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())

    assert values["sidecars"][sidecar]["image"]["tag"] == _go("{{.Version}}", _MODULES[sidecar])


def _of(manifests: list[Manifest], kind: str, name: str) -> list[Manifest]:
    return [each for each in manifests if (each["kind"], each["metadata"]["name"]) == (kind, name)]


def _upstream(sidecar: str, kind: str) -> Iterator[Right]:
    folder = Path(_go("{{.Dir}}", _MODULES[sidecar])) / "deploy" / "kubernetes"
    if sidecar == "snapshotter":
        folder /= "csi-snapshotter"
    page = folder / ("rbac-csi-snapshotter.yaml" if sidecar == "snapshotter" else "rbac.yaml")
    for role in yaml.safe_load_all(page.read_text()):
        if role and role["kind"] == kind:
            yield from _rights(role)


def _rights(role: dict[str, Any]) -> Iterator[Right]:
    for rule in role["rules"]:
        for group in rule["apiGroups"]:
            for resource in rule["resources"]:
                for verb in rule["verbs"]:
                    yield group, resource, verb


def _go(form: str, module: str) -> str:
    command = [go_command(wanted_version(_PROGRAMS))]
    subprocess.run([*command, "mod", "download", module], cwd=_PROGRAMS, check=True)
    listed = subprocess.run(
        [*command, "list", "-m", "-f", form, module],
        cwd=_PROGRAMS,
        env=os.environ | {"GOTOOLCHAIN": "local"},
        check=True,
        capture_output=True,
        text=True,
    )
    return listed.stdout.strip()
