"""NodeGetVolumeHealth: a volume's health as this node sees it (N7); the cloud sees the rest."""

from __future__ import annotations

from pathlib import Path

from csi_exoblock.concurrency import Deadline
from csi_exoblock.errors import NotFound
from csi_exoblock.host.block_devices import BlockDevice
from csi_exoblock.host.checking import how_to_repair
from csi_exoblock.host.devices import Devices
from csi_exoblock.host.growing import Grower
from csi_exoblock.host.liveness import Liveness, Trouble
from csi_exoblock.host.mounts import Mount, Mounts
from csi_exoblock.host.writeback import WriteBack
from csi_exoblock.model import Ailment, VolumeId
from csi_exoblock.node.health_cache import HealthCache


class Health:
    """Examines mounted volumes without taking their lock or changing anything."""

    def __init__(
        self,
        *,
        devices: Devices,
        mounts: Mounts,
        liveness: Liveness,
        grower: Grower,
        write_back: WriteBack,
        cache: HealthCache,
    ) -> None:
        self._devices = devices
        self._mounts = mounts
        self._liveness = liveness
        self._grower = grower
        self._write_back = write_back
        self._cache = cache

    def ailments(
        self, volume_id: VolumeId, paths: tuple[Path, ...], deadline: Deadline
    ) -> tuple[Ailment, ...]:
        """Return the ailments of a volume, the worst first; none if it is well.

        Args:
            paths: The paths where it is staged and published, as far as the caller names them.
                Without any, the mounts of its device are examined.

        Raises:
            NotFound: The volume isn't mounted there, and its disk isn't here.
            WrongState: Two disks claim to be this volume.
            HostError: Its file system doesn't answer.
            DeadlineExceeded: The deadline came first.
        """
        deadline.check()
        found = self._examine(volume_id, paths)
        self._cache.store(volume_id, found)
        return found

    def _examine(self, volume_id: VolumeId, paths: tuple[Path, ...]) -> tuple[Ailment, ...]:
        disk = self._devices.find_now(volume_id.uuid)
        if disk is None:
            self._devices.refuse_unreadable(volume_id.uuid)
        seen = self._seen(disk, paths)
        if disk is None:
            return (self._gone(volume_id, seen),)
        mine = [mount for mount in seen if mount.device in self._devices.numbers(disk)]
        if not mine:
            if seen and all(self._is_stale(mount) for mount in seen):
                return (self._gone(volume_id, seen),)
            if paths:
                raise NotFound(f"volume {volume_id}: it is not mounted at {_named(paths)}")
            return ()
        return self._of(volume_id, next((each for each in mine if not each.is_block), None))

    def _seen(self, disk: BlockDevice | None, paths: tuple[Path, ...]) -> list[Mount]:
        """Return the mounts to examine, writable ones first."""
        if paths:
            seen = [mount for path in paths for mount in self._asked_about(path)]
        else:
            numbers = self._devices.numbers(disk) if disk else ()
            seen = [mount for number in numbers for mount in self._mounts.of(number)]
        return sorted(seen, key=lambda mount: mount.read_only)

    def _asked_about(self, path: Path) -> tuple[Mount, ...]:
        """Return the mount at a path, or the device nodes bound in that folder.

        For a raw device kubelet names the folder in which it binds the device once for each pod.
        """
        layers = self._mounts.at(path)
        if layers:
            return layers[-1:]
        return tuple(mount for mount in self._mounts.below(path) if mount.is_block)

    def _is_stale(self, mount: Mount) -> bool:
        return mount.device is None or not self._devices.is_there(mount.device)

    def _gone(self, volume_id: VolumeId, seen: list[Mount]) -> Ailment:
        if not seen:
            raise NotFound(f"volume {volume_id}: neither its disk nor a mount of it is here")
        return Ailment(
            reason="DeviceGone",
            message=(
                f"volume {volume_id}: its disk has left this node while it was mounted; delete the "
                "pods that use it, so that it is attached and mounted again"
            ),
        )

    def _of(self, volume_id: VolumeId, mount: Mount | None) -> tuple[Ailment, ...]:
        loss = self._write_back.loss_of(f"volume {volume_id}")
        lost = (_lost(volume_id, loss),) if loss else ()
        if mount is None or mount.device is None:  # a raw device has no file system that can fail
            return lost
        trouble = self._liveness.why_unusable(mount, writing=not mount.read_only)
        if trouble is not None:
            return (_unusable(volume_id, trouble),)
        errors = self._liveness.recorded_errors(self._devices.at(mount.device))
        failure = self._grower.failure_of(volume_id)
        return (
            *lost,
            *((_damaged(volume_id, errors),) if errors else ()),
            *((_not_grown(volume_id, failure),) if failure else ()),
        )


def _unusable(volume_id: VolumeId, trouble: Trouble) -> Ailment:
    return Ailment(
        reason=trouble.reason,
        message=(
            f"volume {volume_id}: its file system doesn't work: {trouble}; delete the pods that "
            "use it on this node, then it is checked and mounted again"
        ),
    )


def _lost(volume_id: VolumeId, reason: str) -> Ailment:
    return Ailment(
        reason="WritesLost",
        message=(
            f"volume {volume_id}: the last writes of a pod could not be written to its disk when "
            f"it was unmounted: {reason}; check the data, or restore a snapshot"
        ),
        usable=True,
    )


def _damaged(volume_id: VolumeId, errors: int) -> Ailment:
    return Ailment(
        reason="FilesystemErrors",
        message=(
            f"volume {volume_id}: its file system has counted {errors} errors; delete its pods, so "
            f"that it is checked before the next one. {how_to_repair(volume_id, 'e2fsck -f')}"
        ),
        usable=True,
    )


def _not_grown(volume_id: VolumeId, failure: str) -> Ailment:
    return Ailment(
        reason="GrowthFailed",
        message=(
            f"volume {volume_id}: its file system does not fill its disk, because it could not be "
            f"grown: {failure}; it is tried again when the volume is staged or expanded"
        ),
        usable=True,
    )


def _named(paths: tuple[Path, ...]) -> str:
    return ", ".join(map(str, paths))
