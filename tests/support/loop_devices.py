"""The loop devices of this machine."""

from __future__ import annotations

import contextlib
from pathlib import Path


def loop_devices_below(folder: Path) -> dict[str, str]:
    """Return the loop devices whose disk lies in a folder, and their disks, deleted ones too.

    `losetup --list` would open each, and a simulated cloud would take it for a user of the disk.
    """
    found = {}
    for file in Path("/sys/block").glob("loop*/loop/backing_file"):
        with contextlib.suppress(OSError):  # it has gone meanwhile
            disk = file.read_text().strip()
            if disk.startswith(f"{folder}/"):
                found[f"/dev/{file.parts[3]}"] = disk
    return found
