"""Flow 13: names and labels by which a volume is recognised in the cloud (N10, C4)."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from tests.kubernetes.cluster.api import VOLUME_ATTRIBUTES_CLASS
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import storage_class
from tests.kubernetes.cluster.cloud import Cloud, CloudVolume
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import DRIVER_NAME


def test_templates_are_filled_with_what_the_claim_is_called(
    namespace: Namespace, cloud: Cloud
) -> None:
    parameters = {
        "volumeNameTemplate": "{{pvc.namespace}}.{{pv.name}}",
        "labels": "owner={{pvc.namespace}}/{{pvc.name}}",
    }
    with storage_class(namespace, parameters, binding="Immediate", name="templated") as made:
        bound = Claim.create(namespace, storage_class=made).wait_bound()

        volume = only_volume(namespace, cloud)

        assert volume.name == f"{namespace.name}.{bound.name}"
        assert volume.labels["owner"] == f"{namespace.name}/data"
        assert volume.labels["exoblock/pv"] == bound.name


def test_an_attributes_class_labels_a_volume_and_another_relabels_it(
    namespace: Namespace, cloud: Cloud
) -> None:
    with (
        storage_class(namespace, {}, binding="Immediate") as made,
        attributes_class(namespace, "silver", {"labels": "tier=silver"}) as silver,
        attributes_class(
            namespace,
            "gold",
            {"labelSpecification_1": "tier=gold", "name": "gold-{{pv.name}}"},
        ) as gold,
    ):
        claim = Claim.create(namespace, storage_class=made, attributes_class=silver)
        bound = claim.wait_bound()
        assert only_volume(namespace, cloud).labels["tier"] == "silver"

        change = {"spec": {"volumeAttributesClassName": gold}}
        namespace.kubectl("patch", "pvc", claim.name, "--patch", json.dumps(change))

        namespace.wait(
            lambda: only_volume(namespace, cloud).labels["tier"] == "gold",
            "the volume has the label of its new class",
        )
        assert only_volume(namespace, cloud).name == f"gold-{bound.name}"
        assert only_volume(namespace, cloud).labels["exoblock/pvc"] == claim.name


def test_a_reserved_label_is_refused_and_said(namespace: Namespace) -> None:
    with (
        storage_class(namespace, {}, binding="Immediate") as made,
        attributes_class(namespace, "bad", {"labels": "exoblock/protect=no"}) as bad,
    ):
        claim = Claim.create(namespace, storage_class=made, attributes_class=bad)

        event = claim.wait_event("ProvisioningFailed", "InvalidArgument", "exoblock/")

        assert "the driver's own" in event


@contextmanager
def attributes_class(
    namespace: Namespace, name: str, parameters: Mapping[str, str]
) -> Iterator[str]:
    """Make a VolumeAttributesClass for one flow, and yield its name."""
    api = namespace.cluster.api
    full_name = f"{namespace.name}-{name}"
    manifest = {
        "metadata": {"name": full_name},
        "driverName": DRIVER_NAME,
        "parameters": dict(parameters),
    }
    api.create(VOLUME_ATTRIBUTES_CLASS, manifest)
    try:
        yield full_name
    finally:
        api.delete(VOLUME_ATTRIBUTES_CLASS, full_name)


def only_volume(namespace: Namespace, cloud: Cloud) -> CloudVolume:
    (volume,) = cloud.volumes(namespace.name)
    return volume
