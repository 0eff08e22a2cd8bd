"""The identity on the CD-ROM of a private instance: labelled `cidata`, with `key: value` lines."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path

from csi_exoblock.errors import HostError
from csi_exoblock.host import iso9660
from csi_exoblock.host.block_devices import DeviceNumber
from csi_exoblock.host.metadata import node_id_of
from csi_exoblock.model import NodeId

_LABEL = "cidata"
_FILE = "meta-data"

# The kernel's names for CD-ROM drives. A volume never has such a name, whatever its content.
_DRIVE = re.compile(r"sr[0-9]+", re.ASCII)


class CdRom:
    """Reads the CD-ROM drives of this host, and no other disk: a tenant might have written that.

    No link by a disk's label is followed: a tenant chooses the label of a raw volume.
    """

    def __init__(self, *, sysfs: Path = Path("/sys"), dev: Path = Path("/dev")) -> None:
        self._blocks = sysfs / "class" / "block"
        self._dev = dev

    def read(self) -> NodeId:
        """Return the identity.

        Raises:
            HostError: No drive has such a disc, or the disc can't be read.
        """
        failures = []
        for name in self._drives():
            try:
                return self._read(name)
            except (HostError, OSError) as error:
                failures.append(f"{name}: {error}")
        raise HostError("; ".join(failures) or "there is no CD-ROM drive")

    def _drives(self) -> Iterator[str]:
        try:
            names = sorted(os.listdir(self._blocks))
        except OSError as error:
            raise HostError(f"the drives can't be listed: {error}") from error
        return filter(_DRIVE.fullmatch, names)

    def _read(self, name: str) -> NodeId:
        number = DeviceNumber.parse((self._blocks / name / "dev").read_text())
        # Non-blocking: a drive without a disc opens too, and a FIFO in its place doesn't block us.
        flags = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
        drive = os.open(self._dev / name, flags)
        try:
            status = os.fstat(drive)
            if not stat.S_ISBLK(status.st_mode) or DeviceNumber.of(status.st_rdev) != number:
                raise HostError(f"{self._dev / name} is not the drive {number}")
            text = iso9660.read_file(drive, _LABEL, _FILE).decode(errors="replace")
        finally:
            os.close(drive)
        lines = (line.partition(":") for line in text.splitlines())
        return node_id_of({key.strip(): value.strip() for key, _, value in lines})
