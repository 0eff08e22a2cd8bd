"""What a support archive has of a node's host: mounts, disks, the kernel's words on them (F12)."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from csi_exoblock.app.inspection import InspectedHost
from csi_exoblock.host.kernel_log import open_log, read_record
from csi_exoblock.tools.bundle_archive import Archive

_ABOUT_DISKS = re.compile(
    r"\b(vd[a-z]|sd[a-z]|nvme\d|dm-\d|loop\d)|EXT4|XFS|BTRFS|virtio|I/O error|blocked for more|hung"
)


def collect(host: InspectedHost, archive: Archive) -> None:
    """Add to an archive what the node plugin's container sees of its host."""
    NodeEvidence(host, archive).collect()


class NodeEvidence:
    """Reads the host's own files; the folders are those that a test plays."""

    def __init__(
        self,
        host: InspectedHost,
        archive: Archive,
        *,
        proc: Path = Path("/proc"),
        sysfs: Path = Path("/sys"),
        kernel_log: Path = Path("/dev/kmsg"),
    ) -> None:
        self._host = host
        self._archive = archive
        self._proc = proc
        self._sysfs = sysfs
        self._kernel_log = kernel_log

    def collect(self) -> None:
        """Add everything."""
        self._archive.collect("mounts", self._mounts)
        self._archive.collect("disks", self._disks)
        self._archive.collect("messages of the kernel", self._messages)
        for what in ("logs", "metrics", "events"):
            self._archive.miss(what, "run `csi-exoblock doctor --bundle` at your desk")

    def _mounts(self) -> None:
        below = str(self._host.settings.kubelet_path)
        lines = (self._proc / "self" / "mountinfo").read_text(errors="replace").splitlines()
        self._archive.add("mounts.txt", "\n".join(each for each in lines if below in each))

    def _disks(self) -> None:
        _, volumes = self._host.disks()
        serials = {disk.name: serial for serial, disk in volumes}
        found = [
            {**_disk(folder), "serial": serials.get(folder.name)}
            for folder in sorted((self._sysfs / "class" / "block").iterdir())
        ]
        self._archive.add_json("disks.json", found)

    def _messages(self) -> None:
        lines = [each for each in self._records() if _ABOUT_DISKS.search(each)]
        self._archive.add("kernel.log", "\n".join(lines))

    def _records(self) -> Iterator[str]:
        """Yield what the kernel has logged so far, each line with its microseconds since boot."""
        log = open_log(self._kernel_log)
        try:
            while True:
                try:
                    record = read_record(log)
                except BrokenPipeError:
                    continue
                except BlockingIOError:
                    return
                if record is None:
                    return
                yield f"{record.micros} {record.message}"
        finally:
            os.close(log)


def _disk(folder: Path) -> dict[str, object]:
    """Return what sysfs tells of a disk without asking the disk itself."""
    fields: dict[str, object] = {"name": folder.name}
    for name in ("dev", "size", "ro", "queue/logical_block_size"):
        try:
            fields[name] = (folder / name).read_text().strip()
        except OSError:
            fields[name] = None
    return fields
