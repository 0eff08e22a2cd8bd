"""A volume as kubelet and its pods deal with it: its paths, its requests, its canary."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pathlib
import stat
import subprocess
import threading
from collections import defaultdict
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import partial

from csi_exoblock.pb import csi_pb2
from tests.chaos.node.disks import Disk, Host
from tests.chaos.node.plan import BLOCK, READER, VolumePlan
from tests.node.disks import keep_in_another_namespace
from tests.node.traces import jmicron

MIB_AT_FIRST, MIB_MORE = 320, 256  # xfs wants 300 at least
ZONE = "ch-gva-2"
FLAGS = ("nosuid", "nodev")
"""What each mount of a volume forbids."""
_CANARY_BYTES = 4096
# Source: Linux, include/uapi/linux/fs.h: _IOWR('X', 119, int)
_FIFREEZE = 0xC0045877
# Source: Linux, fs/ext4/ext4.h: s_blocks_count_lo and s_log_block_size.
_EXT4_BLOCKS, _EXT4_BLOCK_SIZE = 1024 + 0x4, 1024 + 0x18
_MODE = csi_pb2.VolumeCapability.AccessMode(
    mode=csi_pb2.VolumeCapability.AccessMode.SINGLE_NODE_MULTI_WRITER
)
_CONTEXTS: Mapping[str, Mapping[str, str]] = {
    "new": {"format": "ifBlank"},
    "foreign": {"format": "ifBlank"},
    "copy": {"format": "never"},
    "never": {"format": "never"},
    "static": {},
}


class Canary:
    """What the pods of a volume have written: its id and a counter.

    Attributes:
        possible: What may be found: more than one after a write that failed; `None` for nothing.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._count = 0
        self.possible: frozenset[str | None] = frozenset({None})

    @property
    def written(self) -> bool:
        """Whether there surely is one."""
        return None not in self.possible

    def copy(self, other: Canary) -> None:
        """Expect what another volume's pods have written."""
        self.possible = other.possible

    def next(self) -> str:
        """Return what is to be written now; from now on it or its predecessor may be found."""
        self._count += 1
        text = f"{self._name} {self._count}"
        self.possible |= {text}
        return text

    def found(self, text: str | None) -> None:
        """Know that this is what is there."""
        self.possible = frozenset({text})


class Volume:
    """A volume of a schedule.

    Attributes:
        kubelet: Kubelet's folder.
        copied: Set when it may begin its life, if it is a copy of another one.
        targets: Where it is published, as far as kubelet knows.
        staged: Whether kubelet thinks that it is, or may be, staged.
        guests: How to end the processes that have it in use, by the path that they keep.
        kept_elsewhere: Whether one of them has it in a mount namespace of its own.
        silent_answers: How many answers its disk's silence has got.
        appears_at: At which stage to come, by ordinal, its disk appears; 0 if it is there.
    """

    def __init__(self, plan: VolumePlan, host: Host, kubelet: pathlib.Path) -> None:
        self.plan = plan
        self.disk = Disk(host, mib=MIB_AT_FIRST, sector_bytes=plan.sector_bytes)
        self.uuid = str(self.disk.uuid)
        self.id = f"{ZONE}/{self.uuid}"
        self.kubelet = kubelet
        self.canary = Canary(f"volume-{plan.number}")
        self.copied = threading.Event()
        self.staging = kubelet / "plugins/kubernetes.io/csi/exoblock" / self.uuid / "globalmount"
        self._pods = kubelet / "pods" / self.uuid
        self.targets: list[pathlib.Path] = []
        self.staged = False
        self.guests: defaultdict[pathlib.Path, list[Callable[[], object]]] = defaultdict(list)
        self.kept_elsewhere = False
        self.appears_at = 0
        self.silent_answers = 0
        self.grown = 0
        self._frozen = False
        now = datetime.now(UTC).isoformat()
        self._age = {"created-at": now, "attached-at": now}

    @property
    def is_block(self) -> bool:
        """Whether its pods get the raw device."""
        return self.plan.filesystem == BLOCK

    def target(self, pod: str) -> pathlib.Path:
        """Return where a pod's volume appears; its folder is there, as kubelet makes it."""
        path = self._pods / pod / "mount"
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def capability(self, filesystem: str = "") -> csi_pb2.VolumeCapability:
        """Return how its pods want it, or how pods that are mistaken about it do."""
        filesystem = filesystem or self.plan.filesystem
        if filesystem == BLOCK:
            block = csi_pb2.VolumeCapability.BlockVolume()
            return csi_pb2.VolumeCapability(block=block, access_mode=_MODE)
        mount = csi_pb2.VolumeCapability.MountVolume(fs_type=filesystem, mount_flags=FLAGS)
        return csi_pb2.VolumeCapability(mount=mount, access_mode=_MODE)

    def stage(self, filesystem: str = "") -> csi_pb2.NodeStageVolumeRequest:
        """Return the request; `ifBlank` if the file system is none that it has."""
        context = _CONTEXTS["new" if filesystem else self.plan.origin]
        return csi_pb2.NodeStageVolumeRequest(
            volume_id=self.id,
            staging_target_path=str(self.staging),
            volume_capability=self.capability(filesystem),
            volume_context=context,
            # As the controller hands it over, for volumes that it has made itself.
            publish_context=self._age if self.plan.origin == "new" else {},
        )

    def unstage(self) -> csi_pb2.NodeUnstageVolumeRequest:
        """Return the request."""
        return csi_pb2.NodeUnstageVolumeRequest(
            volume_id=self.id, staging_target_path=str(self.staging)
        )

    def publish(self, target: pathlib.Path) -> csi_pb2.NodePublishVolumeRequest:
        """Return the request."""
        return csi_pb2.NodePublishVolumeRequest(
            volume_id=self.id,
            staging_target_path=str(self.staging),
            target_path=str(target),
            volume_capability=self.capability(),
            readonly=target.parent.name == READER,
            volume_context=_CONTEXTS[self.plan.origin],
        )

    def unpublish(self, target: pathlib.Path) -> csi_pb2.NodeUnpublishVolumeRequest:
        """Return the request."""
        return csi_pb2.NodeUnpublishVolumeRequest(volume_id=self.id, target_path=str(target))

    def expand(self, target: pathlib.Path) -> csi_pb2.NodeExpandVolumeRequest:
        """Return the request."""
        return csi_pb2.NodeExpandVolumeRequest(
            volume_id=self.id,
            volume_path=str(target),
            staging_target_path=str(self.staging),
            volume_capability=self.capability(),
        )

    def stats(self, target: pathlib.Path) -> csi_pb2.NodeGetVolumeStatsRequest:
        """Return the request."""
        return csi_pb2.NodeGetVolumeStatsRequest(volume_id=self.id, volume_path=str(target))

    def health(self, target: pathlib.Path) -> csi_pb2.NodeGetVolumeHealthRequest:
        """Return the request."""
        return csi_pb2.NodeGetVolumeHealthRequest(
            volume_id=self.id,
            volume_publish_path=str(target),
            staging_target_path="" if self.is_block else str(self.staging),
        )

    def read_canary(self, target: pathlib.Path) -> str | None:
        """Return what a pod reads there.

        Raises:
            OSError: It can't be read.
        """
        path = target if self.is_block else target / "canary"
        with contextlib.suppress(FileNotFoundError), path.open("rb", buffering=0) as file:
            return file.read(_CANARY_BYTES).rstrip(b"\0").decode(errors="replace") or None
        return None

    def write_canary(self, target: pathlib.Path) -> None:
        """Write the next one, as a pod does that wants to find it again after any crash.

        Raises:
            OSError: It can't be written.
        """
        text = self.canary.next()
        path = target if self.is_block else target / "canary"
        made = 0 if self.is_block else os.O_CREAT
        file = os.open(path, os.O_RDWR | os.O_CLOEXEC | made, 0o600)
        try:
            os.pwrite(file, text.encode().ljust(_CANARY_BYTES, b"\0"), 0)
            os.fsync(file)
        finally:
            os.close(file)
        self.canary.found(text)

    def use(self, path: pathlib.Path) -> None:
        """Have a process that has a file there open."""
        self.guests[path].append(partial(os.close, os.open(path, os.O_RDONLY | os.O_CLOEXEC)))

    def use_elsewhere(self) -> None:
        """Have a process that has it mounted in a mount namespace of its own."""
        keeper = keep_in_another_namespace(self.disk.path)
        self.kept_elsewhere = True
        self.guests[self.staging].append(keeper.communicate)

    def hold_device(self) -> None:
        """Have a process that has the disk itself open, as a container does: by its own node."""
        node = self.kubelet / f"node-{self.uuid}"
        os.mknod(node, stat.S_IFBLK | 0o600, self.disk.path.stat().st_rdev)
        try:
            self.guests[self.staging].append(partial(os.close, os.open(node, os.O_RDONLY)))
        finally:
            node.unlink()
        self.kept_elsewhere = True

    def freeze(self) -> None:
        """Freeze the file system, as a backup does that dies before it thaws it."""
        file = os.open(self.staging, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.ioctl(file, _FIFREEZE, 0)
        finally:
            os.close(file)
        self._frozen = True

    def thaw(self) -> None:
        """Thaw the file system if it may still be frozen: a broken driver leaves it so."""
        if not self._frozen or self.disk.number is None:
            return
        path = self.kubelet / f"thawing-{self.uuid}"
        path.mkdir(exist_ok=True)
        source = str(self.disk.path)
        for command in (("mount", source), ("fsfreeze", "--unfreeze"), ("umount",)):
            subprocess.run([*command, str(path)], check=False, capture_output=True)

    def leave_trace(self) -> None:
        """Have a file on the detached disk that looks like a part of a RAID (D15).

        Only where the file system reaches to the end of its disk, in a block that it has free.
        """
        blocks, size = self.disk.read(_EXT4_BLOCKS, 4), self.disk.read(_EXT4_BLOCK_SIZE, 4)
        filled = int.from_bytes(blocks, "little") * (1024 << int.from_bytes(size, "little"))
        if filled == self.disk.size_bytes:
            self.disk.write(jmicron(), offset=filled - len(jmicron()))

    def stop_using(self, path: pathlib.Path) -> None:
        """Have all processes end that keep a path."""
        for end in self.guests.pop(path, ()):
            end()
        self.kept_elsewhere &= path != self.staging

    def grow(self) -> None:
        """Have its disk grow, as far as it goes."""
        if self.grown < 3:
            self.grown += 1
            self.disk.grow(MIB_MORE)
