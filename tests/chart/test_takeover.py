"""What the chart has of the vendor's driver: its classes, with the driver's name (F8)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.helm import Manifest, render

pytestmark = pytest.mark.thorough

_VENDOR = Path(__file__).parents[1] / "install" / "vendor.yaml"
_NAME = "--set=driverName=csi.exoscale.com"


def test_takeover_brings_the_vendors_classes_and_nothing_else_does() -> None:  # F8
    vendors = _classes([each for each in yaml.safe_load_all(_VENDOR.read_text()) if each])

    own, taken_over = _classes(render()), _classes(render(_NAME))

    assert len(vendors) == 3
    assert sorted(taken_over) == sorted(own + vendors)


@pytest.mark.parametrize(
    ("value", "kind", "name"),
    [
        ("storageClasses", "StorageClass", "exoscale-sbs"),
        ("storageClasses", "StorageClass", "exoscale-bs-retain"),
        ("volumeSnapshotClasses", "VolumeSnapshotClass", "exoscale-snapshot"),
    ],
)
def test_class_of_the_vendors_name_can_be_ones_own(value: str, kind: str, name: str) -> None:  # F8
    own = [{"name": name, "default": True, "annotations": {"example.com/mine": "yes"}}]

    manifests = render(_NAME, f"--set-json={value}={json.dumps(own)}")

    (found,) = (each for each in manifests if _key(each) == (kind, name))
    assert found["metadata"]["annotations"]["example.com/mine"] == "yes"


def test_no_object_has_a_name_that_the_vendors_driver_uses() -> None:  # F8
    vendors = [each for each in yaml.safe_load_all(_VENDOR.read_text()) if each]

    assert len(vendors) > 10
    assert {_key(each) for each in vendors}.isdisjoint(_key(each) for each in render())


def _classes(manifests: list[Manifest]) -> list[tuple[str, str, Any]]:
    """Return kind, name and what becomes of the volume or snapshot of a deleted claim."""
    return [
        (*_key(each), each.get("reclaimPolicy", each.get("deletionPolicy")))
        for each in manifests
        if each["kind"] in ("StorageClass", "VolumeSnapshotClass")
    ]


def _key(manifest: Manifest) -> tuple[str, str]:
    return manifest["kind"], manifest["metadata"]["name"]
