"""Objects of Kubernetes as the API server has them."""

from __future__ import annotations

from typing import Any

DRIVER = "exoblock.csi.exoscale.com"
LONG_AGO = "2026-01-01T00:00:00Z"

Object = dict[str, Any]


def claim(
    name: str, *, volume: str = "", asked: str = "1Gi", has: str = "1Gi", **annotations: str
) -> Object:
    """Return a claim in the namespace `shop`."""
    return {
        "metadata": {
            "namespace": "shop",
            "name": name,
            "creationTimestamp": LONG_AGO,
            "annotations": annotations,
        },
        "spec": {
            "storageClassName": "exoblock",
            "resources": {"requests": {"storage": asked}},
            **({"volumeName": volume} if volume else {}),
        },
        "status": {"capacity": {"storage": has}} if volume else {},
    }  # fmt: skip


def persistent_volume(
    name: str, handle: str, driver: str = DRIVER, *, claim: str = "", **spec: Any
) -> Object:
    """Return a PersistentVolume, bound to a claim of the namespace `shop` if one is named."""
    in_zone = {"key": f"topology.{driver}/zone", "operator": "In", "values": [handle.split("/")[0]]}
    places = {"required": {"nodeSelectorTerms": [{"matchExpressions": [in_zone]}]}}
    bound = {"namespace": "shop", "name": claim, "uid": f"uid-of-{claim}"}
    return {
        "metadata": {"name": name, "uid": f"uid-of-{name}"},
        "spec": {
            "capacity": {"storage": "1Gi"},
            "accessModes": ["ReadWriteOnce"],
            "storageClassName": "exoblock",
            "persistentVolumeReclaimPolicy": "Delete",
            "nodeAffinity": places,
            **({"claimRef": bound} if claim else {}),
            **spec,
            "csi": {
                "driver": driver,
                "volumeHandle": handle,
                "fsType": "ext4",
                "volumeAttributes": {"storage.kubernetes.io/csiProvisionerIdentity": "1-1-x"},
            },
        },
        "status": {"phase": "Bound" if claim else "Available"},
    }


def attachment(
    volume: str, node: str, *, attached: bool = True, error: str = "", leaving: bool = False
) -> Object:
    """Return a VolumeAttachment of the driver."""
    failure = {"detachError" if leaving else "attachError": {"message": error}} if error else {}
    return {
        "metadata": {
            "name": f"csi-{volume}",
            "creationTimestamp": LONG_AGO,
            **({"deletionTimestamp": LONG_AGO} if leaving else {}),
        },
        "spec": {
            "attacher": DRIVER,
            "nodeName": node,
            "source": {"persistentVolumeName": volume},
        },
        "status": {"attached": attached, **failure},
    }


def node(name: str, instance: str, zone: str = "ch-gva-2", *, ready: bool = True) -> Object:
    """Return a Node."""
    return {
        "metadata": {"name": name, "labels": {"topology.kubernetes.io/zone": zone}},
        "spec": {"providerID": f"exoscale://{instance}"},
        "status": {"conditions": [{"type": "Ready", "status": "True" if ready else "Unknown"}]},
    }


def csi_node(name: str, limit: int, *, id: str = "") -> Object:
    """Return a CSINode on which the driver is registered."""
    drivers = [{"name": DRIVER, "nodeID": id, "allocatable": {"count": limit}}]
    return {"metadata": {"name": name}, "spec": {"drivers": drivers}}


def storage_class(
    name: str = "exoblock", *, mode: str = "WaitForFirstConsumer", expand: bool = True
) -> Object:
    """Return a StorageClass of the driver."""
    return {
        "metadata": {"name": name},
        "provisioner": DRIVER,
        "volumeBindingMode": mode,
        "allowVolumeExpansion": expand,
    }


def snapshot_content(name: str, source: str, *, ready: bool = False, error: str = "") -> Object:
    """Return a VolumeSnapshotContent of the driver."""
    return {
        "metadata": {"name": name, "creationTimestamp": LONG_AGO},
        "spec": {
            "driver": DRIVER,
            "source": {"volumeHandle": source},
            "volumeSnapshotRef": {"namespace": "shop", "name": name},
        },
        "status": {"readyToUse": ready, **({"error": {"message": error}} if error else {})},
    }


def volume_snapshot(
    name: str, *, created: str = LONG_AGO, class_name: str = "exoblock", content: str = ""
) -> Object:
    """Return a VolumeSnapshot in the namespace `shop`."""
    return {
        "metadata": {"namespace": "shop", "name": name, "creationTimestamp": created},
        "spec": {
            "source": {"persistentVolumeClaimName": "data"},
            **({"volumeSnapshotClassName": class_name} if class_name else {}),
        },
        "status": {"boundVolumeSnapshotContentName": content} if content else {},
    }
