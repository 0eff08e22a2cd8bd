"""A volume as kubelet deals with it on the virtual machine."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from csi_exoblock.pb import csi_pb2
from tests.vm.machine import Disk
from tests.vm.node import Node

CALL_SECONDS: Final = 120
"""As long as kubelet waits."""

_KUBELET = "/var/lib/kubelet"
_STAGING = f"{_KUBELET}/plugins/kubernetes.io/csi/exoblock.csi.exoscale.com"
_FORMAT = {"format": "ifBlank"}
_WRITER = csi_pb2.VolumeCapability.AccessMode(
    mode=csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_MULTI_WRITER
)


class Volume:
    """A volume that may be attached to the node.

    Attributes:
        disk: What of it the node sees.
        staging: Where it is staged.
        target: Where its pod sees it.
    """

    def __init__(self, node: Node, disk: Disk, *, filesystem: str) -> None:
        self.disk = disk
        self.id = disk.volume_id
        self.staging = f"{_STAGING}/{disk.uuid}/globalmount"
        self.target = f"{_KUBELET}/pods/pod-of-{disk.uuid}/volumes/kubernetes.io~csi/pv/mount"
        self._node = node
        self._capability = _capability(filesystem)

    def attach(self) -> None:
        """Attach it, and leave it to the driver to wait for the device."""
        self._node.machine.attach(self.disk)

    def detach(self) -> None:
        """Take it away, mounted or not."""
        self._node.machine.detach(self.disk)

    def grow(self, *, gib: int) -> None:
        """Make its disk larger."""
        self._node.machine.resize(self.disk, gib=gib)

    def stage(self, *, context: Mapping[str, str] = _FORMAT) -> None:
        """Stage it."""
        self._node.service.NodeStageVolume(
            csi_pb2.NodeStageVolumeRequest(
                volume_id=self.id,
                staging_target_path=self.staging,
                volume_capability=self._capability,
                volume_context=context,
            ),
            timeout=CALL_SECONDS,
        )

    def unstage(self) -> None:
        """Unstage it."""
        self._node.service.NodeUnstageVolume(
            csi_pb2.NodeUnstageVolumeRequest(volume_id=self.id, staging_target_path=self.staging),
            timeout=CALL_SECONDS,
        )

    def publish(self) -> None:
        """Publish it to its pod."""
        self._node.machine.run("mkdir", "-p", self.target.removesuffix("/mount"))
        self._node.service.NodePublishVolume(
            csi_pb2.NodePublishVolumeRequest(
                volume_id=self.id,
                staging_target_path=self.staging,
                target_path=self.target,
                volume_capability=self._capability,
                volume_context=_FORMAT,
            ),
            timeout=CALL_SECONDS,
        )

    def unpublish(self) -> None:
        """Take it from its pod."""
        self._node.service.NodeUnpublishVolume(
            csi_pb2.NodeUnpublishVolumeRequest(volume_id=self.id, target_path=self.target),
            timeout=CALL_SECONDS,
        )

    def expand(self) -> None:
        """Have the driver grow what is on it."""
        self._node.service.NodeExpandVolume(
            csi_pb2.NodeExpandVolumeRequest(
                volume_id=self.id,
                volume_path=self.target,
                staging_target_path=self.staging,
                volume_capability=self._capability,
            ),
            timeout=CALL_SECONDS,
        )

    def bring(self) -> None:
        """Stage and publish it."""
        self.stage()
        self.publish()

    def leave(self) -> None:
        """Unpublish and unstage it."""
        self.unpublish()
        self.unstage()

    def write_canary(self) -> None:
        """Write down which volume this is, where its pod would, and have it on the disk."""
        script = f"echo {self.id} > {self.target}/canary && sync -f {self.target}"
        self._node.machine.run("sh", "-c", script)

    def read_canary(self) -> str:
        """Return which volume its pod sees."""
        return self.read("canary").strip()

    def read(self, name: str) -> str:
        """Return a file of it as its pod sees it."""
        return self._node.machine.run("cat", f"{self.target}/{name}")

    def size_bytes(self) -> int:
        """Return how large its pod sees the file system."""
        shown = self._node.machine.run("df", "--block-size=1", "--output=size", self.target)
        return int(shown.splitlines()[-1])

    def health(self) -> list[str]:
        """Return the reasons for which it isn't well."""
        answer = self._node.service.NodeGetVolumeHealth(
            csi_pb2.NodeGetVolumeHealthRequest(volume_id=self.id, staging_target_path=self.staging),
            timeout=CALL_SECONDS,
        )
        return [each.reason for each in answer.volume_health.health_statuses]

    def device(self) -> str:
        """Return the device that has its serial."""
        script = f"grep -lxz {self.disk.serial} /sys/class/block/vd*/serial"
        found = self._node.machine.run("sh", "-c", script)
        return f"/dev/{found.split('/')[4]}"

    def mounts(self) -> list[str]:
        """Return where it is mounted, by the paths at which only it belongs."""
        return [fields[4] for fields in self._mountinfo()]

    def mount_ids(self) -> list[str]:
        """Return the ids of its mounts, of which the kernel gives every mount a new one."""
        return [fields[0] for fields in self._mountinfo()]

    def _mountinfo(self) -> list[list[str]]:
        lines = self._node.machine.run("cat", "/proc/self/mountinfo").splitlines()
        return [line.split() for line in lines if str(self.disk.uuid) in line]

    def remove(self) -> None:
        """Leave nothing of it on the node, whatever a test left."""
        if self._node.machine.is_on:
            for mount in reversed(self.mounts()):
                self._node.machine.run("umount", mount)
        if self._node.machine.has(self.disk):
            self.detach()
        self.disk.file.unlink()


def _capability(filesystem: str) -> csi_pb2.VolumeCapability:
    """Ask for a file system, or for the device itself, which is called `block` here."""
    if filesystem == "block":
        block = csi_pb2.VolumeCapability.BlockVolume()
        return csi_pb2.VolumeCapability(block=block, access_mode=_WRITER)
    mount = csi_pb2.VolumeCapability.MountVolume(fs_type=filesystem)
    return csi_pb2.VolumeCapability(mount=mount, access_mode=_WRITER)
