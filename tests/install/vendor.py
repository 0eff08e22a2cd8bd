"""What the vendor's driver 0.34 leaves in a cluster, made without it: vendor.yaml, and a claim."""

from __future__ import annotations

import hashlib
import subprocess
import tempfile
from pathlib import Path
from typing import Final
from uuid import UUID

from tests.kubernetes.cluster.api import CLAIM, VOLUME, VOLUME_ATTACHMENT
from tests.kubernetes.cluster.claims import Claim
from tests.kubernetes.cluster.cloud import Cloud
from tests.kubernetes.cluster.documents import Json
from tests.kubernetes.cluster.namespace import Namespace
from tests.kubernetes.cluster.places import INSTANCE, NODE_NAME, ZONE

NAME: Final = "csi.exoscale.com"
STORAGE_CLASS: Final = "exoscale-sbs"
SNAPSHOT_CLASS: Final = "exoscale-snapshot"
TOPOLOGY_KEY: Final = f"topology.{NAME}/zone"

OBJECTS: Final = Path(__file__).with_name("vendor.yaml")
"""Its own objects: driver, classes, Secret, roles, pods."""

_FINALIZER = "external-attacher/csi-exoscale-com"


def leave_claim(namespace: Namespace, cloud: Cloud, text: str) -> Claim:
    """Leave a claim as its pod leaves it when it is struck off: bound, formatted, still attached.

    Nothing tells that the volume is a cluster's, as the vendor's driver sets no labels.

    Args:
        text: What is in the file `file` on the volume.
    """
    claim = Claim.create(namespace, "theirs", storage_class=STORAGE_CLASS)
    uid = namespace.get(CLAIM, claim.name).text("metadata", "uid")
    uuid = cloud.add_volume(ZONE, f"pvc-{uid}")
    cloud.attach_volume(ZONE, uuid, INSTANCE)
    volume = cloud.volume(uuid)
    assert volume is not None
    _format(volume.device, text)
    api = namespace.cluster.api
    api.create(VOLUME, _persistent_volume(claim, uid, uuid))
    attachment = _attachment_name(uuid)
    api.create(VOLUME_ATTACHMENT, _attachment(attachment, f"pvc-{uid}"))
    context = {f"{NAME}/volume-id": str(uuid), f"{NAME}/volume-zone": ZONE}
    status = {"attached": True, "attachmentMetadata": context}
    api.patch_status(VOLUME_ATTACHMENT, attachment, {"status": status})
    claim.wait_bound()
    return claim


def _format(device: str, text: str) -> None:
    """Make a file system as k8s.io/mount-utils does, and write a file."""
    subprocess.run(["mkfs.ext4", "-q", "-F", "-m0", device], check=True)
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(["mount", device, folder], check=True)
        try:
            (Path(folder) / "file").write_text(text)
        finally:
            subprocess.run(["umount", folder], check=True)


def _persistent_volume(claim: Claim, uid: str, uuid: UUID) -> Json:
    """Describe it as the vendor's provisioner 3.6 does; the driver adds no attribute."""
    identity = {"storage.kubernetes.io/csiProvisionerIdentity": f"1767225600000-8081-{NAME}"}
    in_zone = {"key": TOPOLOGY_KEY, "operator": "In", "values": [ZONE]}
    return {
        "metadata": {
            "name": f"pvc-{uid}",
            "annotations": {"pv.kubernetes.io/provisioned-by": NAME},
            "finalizers": ["kubernetes.io/pv-protection", _FINALIZER],
        },
        "spec": {
            "accessModes": ["ReadWriteOnce"],
            "capacity": {"storage": "1Gi"},
            "claimRef": {
                "apiVersion": CLAIM.api_version,
                "kind": CLAIM.name,
                "namespace": claim.namespace.name,
                "name": claim.name,
                "uid": uid,
            },
            "csi": {
                "driver": NAME,
                "fsType": "ext4",
                "volumeAttributes": identity,
                "volumeHandle": f"{ZONE}/{uuid}",
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [in_zone]}]}},
            "persistentVolumeReclaimPolicy": "Delete",
            "storageClassName": STORAGE_CLASS,
            "volumeMode": "Filesystem",
        },
    }


def _attachment(name: str, volume: str) -> Json:
    return {
        "metadata": {
            "name": name,
            "annotations": {"csi.alpha.kubernetes.io/node-id": f"{ZONE}/{INSTANCE}"},
            "finalizers": [_FINALIZER],
        },
        "spec": {
            "attacher": NAME,
            "nodeName": NODE_NAME,
            "source": {"persistentVolumeName": volume},
        },
    }


def _attachment_name(uuid: UUID) -> str:
    """Return the name by which the controller manager finds the attachment of a volume."""
    return "csi-" + hashlib.sha256(f"{ZONE}/{uuid}{NAME}{NODE_NAME}".encode()).hexdigest()
