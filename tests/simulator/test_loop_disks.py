"""The simulator's disks are loop devices, which keep what their last use did to them."""

from __future__ import annotations

import pathlib
import subprocess
import uuid

import pytest

from csi_exoblock.simulator.disks.loop_disks import LoopDisks

pytestmark = pytest.mark.root

# Others take loop devices too, so the same one comes back only sooner or later.
ATTEMPTS = 20


def test_a_disk_is_not_protected_because_the_last_one_on_its_device_was(
    tmp_path: pathlib.Path,
) -> None:  # D7: the driver would refuse it
    disks = LoopDisks(tmp_path, tmp_path / "by-id", keep=False)
    used: list[str] = []
    try:
        while len(set(used)) == len(used) < ATTEMPTS:
            volume = uuid.uuid4()
            disks.connect(volume, 1)
            try:
                (link,) = (tmp_path / "by-id").iterdir()
                used.append(str(link.readlink()))
                assert _blockdev("--getro", used[-1]) == "0\n"
                _blockdev("--setro", used[-1])
            finally:
                disks.disconnect(volume)
    finally:
        for device in used:
            _blockdev("--setrw", device)


def _blockdev(option: str, device: str) -> str:
    done = subprocess.run(["blockdev", option, device], capture_output=True, text=True, check=True)
    return done.stdout
