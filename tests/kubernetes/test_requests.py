"""Flow 16: sidecars and kubelet send the requests that all other tests take as their example.

The claims, by which requests are called in tests/data/requests.json: `data` is the usual one, `raw`
a block device, `alone` has ReadWriteOncePod and mount options, `labelled` a VolumeAttributesClass,
`static` a volume made by hand, `restored` and `clone` start with the content of `data`, and their
pod may only read them.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final

from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.classes import FSTYPE, storage_class
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.minors import VOLUME_HEALTH, chosen
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import ZONE
from tests.kubernetes.cluster.pods import Pod
from tests.kubernetes.cluster.snapshots import Snapshot
from tests.kubernetes.cluster.static_volumes import static_volume
from tests.kubernetes.recording.examples import EVERY, compare, examples
from tests.kubernetes.test_expansion import wait_detached
from tests.kubernetes.test_names_and_labels import attributes_class

_HEALTH: Final = "NodeGetVolumeHealth"
_MOUNT_OPTIONS = ("noatime", "commit=30")

# What each method is recorded for.
_WANTED: Final[Mapping[str, tuple[str, ...]]] = {
    "GetPluginInfo": (EVERY,),
    "GetPluginCapabilities": (EVERY,),
    "Probe": (EVERY,),
    "CreateVolume": ("data", "raw", "alone", "labelled", "restored", "clone"),
    "DeleteVolume": ("data",),
    "ControllerPublishVolume": ("data", "raw", "alone", "static", "restored"),
    "ControllerUnpublishVolume": ("data",),
    "ListVolumes": (EVERY,),
    "ControllerGetCapabilities": (EVERY,),
    "CreateSnapshot": ("data",),
    "DeleteSnapshot": ("snapshot",),
    "ListSnapshots": ("snapshot",),
    "ControllerExpandVolume": ("data", "raw"),
    "ControllerModifyVolume": ("labelled",),
    "NodeStageVolume": ("data", "raw", "alone", "static", "restored"),
    "NodeUnstageVolume": ("data", "raw"),
    "NodePublishVolume": ("data", "raw", "alone", "static", "restored"),
    "NodeUnpublishVolume": ("data", "raw"),
    "NodeGetVolumeStats": ("data", "raw"),
    _HEALTH: ("data", "raw"),
    "NodeExpandVolume": ("data",),
    "NodeGetCapabilities": (EVERY,),
    "NodeGetInfo": (EVERY,),
}


def test_sidecars_and_kubelet_send_what_other_tests_send(
    namespace: Namespace, cloud: Cloud
) -> None:
    with _classes(namespace) as classes, _static(namespace, cloud) as static:
        claims = {"static": static, **_fresh_claims(namespace, classes)}
        mounts = {f"/{name}": claim for name, claim in claims.items() if name != "raw"}
        app = Pod.create(namespace, mounts=mounts, devices={"/dev/raw": claims["raw"]})
        app.wait_running()
        snapshot = Snapshot.create(namespace, of=claims["data"]).wait_ready()
        adopted = Snapshot.adopt(namespace, "adopted", handle=snapshot.handle).wait_ready()
        copies = {
            "restored": Claim.create(namespace, "restored", snapshot=adopted.name),
            "clone": Claim.create(namespace, "clone", clone_of="data"),
        }
        reader = Pod.create(namespace, "reader", mounts=_below_root(copies), read_only=True)
        reader.wait_running()
        claims |= copies
        bound = {name: claim.wait_bound() for name, claim in claims.items()}
        subjects = {volume.handle: name for name, volume in bound.items()}
        subjects[snapshot.handle] = "snapshot"

        change = {"spec": {"volumeAttributesClassName": classes["gold"]}}
        namespace.kubectl("patch", "pvc", "labelled", "--patch", json.dumps(change))
        _wait_sent(namespace, subjects, "ControllerModifyVolume", "labelled")
        for about in ("data", "raw"):
            _wait_sent(namespace, subjects, "NodeGetVolumeStats", about)
        # Of a volume that is just being mounted kubelet knows no path.
        if _HEALTH in _wanted():
            _wait_sent(namespace, subjects, _HEALTH, "data", "volume_publish_path")
            _wait_sent(namespace, subjects, _HEALTH, "raw", "staging_target_path")
        app.delete()
        reader.delete()
        wait_detached(namespace, cloud)
        _grow(namespace, cloud, claims)
        namespace.clear()
        gone = "every volume is gone"
        namespace.wait(lambda: not any(cloud.volume(each.uuid) for each in bound.values()), gone)

    compare(examples(subjects, namespace=namespace.name), _wanted(), namespace=namespace.name)


def _wanted() -> Mapping[str, tuple[str, ...]]:
    """Return what the chosen Kubernetes sends."""
    if VOLUME_HEALTH in chosen().feature_gates:
        return _WANTED
    return {method: about for method, about in _WANTED.items() if method != _HEALTH}


@contextmanager
def _classes(namespace: Namespace) -> Iterator[dict[str, str]]:
    """Yield the names of a StorageClass with mount options and of two VolumeAttributesClasses."""
    silver = {"labels": "tier={{pvc.name}}"}
    gold = {"labelSpecification_1": "tier=gold", "name": "gold-{{pv.name}}"}
    with (
        storage_class(
            namespace, {FSTYPE: "ext4"}, mount_options=_MOUNT_OPTIONS, name="options"
        ) as options,
        attributes_class(namespace, "silver", silver) as silver_name,
        attributes_class(namespace, "gold", gold) as gold_name,
    ):
        yield {"options": options, "silver": silver_name, "gold": gold_name}


@contextmanager
def _static(namespace: Namespace, cloud: Cloud) -> Iterator[Claim]:
    handle = f"{ZONE}/{cloud.add_volume(ZONE, f'{namespace.name}-')}"
    attributes = {"format": "ifBlank"}
    with static_volume(namespace, handle, reclaim_policy="Delete", attributes=attributes) as claim:
        yield claim


def _fresh_claims(namespace: Namespace, classes: Mapping[str, str]) -> dict[str, Claim]:
    once = "ReadWriteOncePod"
    return {
        "data": Claim.create(namespace),
        "raw": Claim.create(namespace, "raw", volume_mode="Block"),
        "alone": Claim.create(
            namespace, "alone", access_mode=once, storage_class=classes["options"]
        ),
        "labelled": Claim.create(namespace, "labelled", attributes_class=classes["silver"]),
    }


def _below_root(claims: Mapping[str, Claim]) -> dict[str, Claim]:
    return {f"/{name}": claim for name, claim in claims.items()}


def _wait_sent(
    namespace: Namespace,
    subjects: Mapping[str, str],
    method: str,
    about: str,
    field: str = "",
) -> None:
    def sent() -> bool:
        request = examples(subjects, namespace=namespace.name).get(method, {}).get(about)
        return request is not None and field in {*request, ""}

    namespace.wait(sent, f"{method} is called for {about}")


def _grow(namespace: Namespace, cloud: Cloud, claims: Mapping[str, Claim]) -> None:
    """Expand what no pod uses, and let kubelet expand the file system."""
    for name in ("data", "raw"):
        claims[name].request("2Gi")
    namespace.wait(
        lambda: sum(volume.size_gib == 2 for volume in cloud.volumes(namespace.name)) == 2,
        "two volumes have grown in the cloud",
    )
    Pod.create(
        namespace, "later", mounts={"/data": claims["data"]}, devices={"/dev/raw": claims["raw"]}
    ).wait_running()
    claims["data"].wait_capacity("2Gi")
