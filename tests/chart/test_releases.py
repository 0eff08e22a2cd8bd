"""A later release changes nothing that Kubernetes does not let change (F5).

`tests/chart/releases` has each release's manifests as they were rendered then.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

import csi_exoblock
from tests.chart.helm import CHART, Manifest, render

_RELEASES = sorted((Path(__file__).parent / "releases").glob("*.yaml"))

# Paths that the API server refuses to change, or that Helm could change only by force.
_FIXED: dict[str, tuple[tuple[str, ...], ...]] = {
    "CSIDriver": (("spec", "attachRequired"), ("spec", "volumeLifecycleModes")),
    "ClusterRoleBinding": (("roleRef",),),
    "DaemonSet": (("spec", "selector"),),
    "Deployment": (("spec", "selector"),),
    "RoleBinding": (("roleRef",),),
    "StorageClass": (
        ("provisioner",),
        ("parameters",),
        ("reclaimPolicy",),
        ("volumeBindingMode",),
        ("mountOptions",),
    ),
    "VolumeSnapshotClass": (("driver",), ("deletionPolicy",), ("parameters",)),
}


@pytest.mark.parametrize("release", _RELEASES, ids=lambda path: path.stem)
def test_what_cannot_change_is_as_it_was_in(release: Path) -> None:  # F5
    before = [each for each in yaml.safe_load_all(release.read_text()) if each]

    assert list(_fixed(before)) == list(_fixed(_like(before, render())))


@pytest.mark.parametrize("release", _RELEASES, ids=lambda path: path.stem)
def test_no_class_or_driver_has_gone_since(release: Path) -> None:  # F5
    before = [each for each in yaml.safe_load_all(release.read_text()) if each]
    kept = {_key(each) for each in before if each["kind"] in ("CSIDriver", "StorageClass")}

    assert kept <= {_key(each) for each in render()}


def test_package_image_and_chart_have_one_version() -> None:
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    images = {
        container["image"].rpartition(":")[2]
        for each in render()
        if each["kind"] in ("Deployment", "DaemonSet")
        for container in each["spec"]["template"]["spec"]["containers"]
        if container["name"] == "csi-exoblock"
    }

    assert chart["version"] == chart["appVersion"] == csi_exoblock.__version__
    assert images == {csi_exoblock.__version__}


def _fixed(manifests: list[Manifest]) -> Iterator[tuple[tuple[str, str], tuple[str, ...], Any]]:
    for each in sorted(manifests, key=_key):
        for path in _FIXED.get(each["kind"], ()):
            value: Any = each
            for key in path:
                value = value.get(key) if isinstance(value, dict) else None
            yield _key(each), path, value


def _like(before: list[Manifest], after: list[Manifest]) -> list[Manifest]:
    """Return those of today's manifests that there were then."""
    known = {_key(each) for each in before}
    return [each for each in after if _key(each) in known]


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
