"""The simulator's disks are loop devices, which keep what their last use did to them."""

from __future__ import annotations

import os
import pathlib
import shutil
import subprocess
import threading
import uuid
from contextlib import ExitStack

import pytest

from csi_exoblock.simulator.disks.freezing import frozen
from csi_exoblock.simulator.disks.loop_disks import LoopDisks
from tests.support.loop_devices import loop_devices_below

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


def test_device_that_another_volume_got_at_once_was_not_in_use(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # D6
    others, real = tmp_path / "other.img", shutil.which("losetup")
    others.write_bytes(bytes(2**20))
    (tmp_path / "bin").mkdir()
    losetup = tmp_path / "bin" / "losetup"
    losetup.write_text(
        f'#!/bin/sh\n{real} "$@" || exit\n[ "$1" = --detach ] && {real} "$2" {others}\nexit 0\n'
    )
    losetup.chmod(0o755)
    disks = LoopDisks(tmp_path, tmp_path / "by-id", keep=False)
    for _ in range(ATTEMPTS):
        volume = uuid.uuid4()
        disks.connect(volume, 1)
        device = disks.devices()[volume]
        with monkeypatch.context() as changed:
            changed.setenv("PATH", f"{losetup.parent}:{os.environ['PATH']}")
            disks.disconnect(volume)
        if device in loop_devices_below(tmp_path):
            break  # or another test got it first
    try:
        assert loop_devices_below(tmp_path) == {device: str(others)}
        assert disks.pulled() == ()
    finally:
        for each in loop_devices_below(tmp_path):
            subprocess.run(["losetup", "--detach", each], check=True)


def test_attach_that_fails_leaves_no_device(
    tmp_path: pathlib.Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disks = LoopDisks(tmp_path, tmp_path / "by-id", keep=False)
    blockdev = tmp_path / "bin" / "blockdev"
    blockdev.parent.mkdir()
    blockdev.write_text("#!/bin/sh\nexit 1\n")
    blockdev.chmod(0o755)
    monkeypatch.setenv("PATH", f"{blockdev.parent}:{os.environ['PATH']}")

    with pytest.raises(OSError, match="blockdev"):
        disks.connect(uuid.uuid4(), 1)
    left = loop_devices_below(tmp_path)
    disks.close()

    assert left == {}


def test_message_of_a_detach_in_use_names_the_users(
    tmp_path: pathlib.Path, caplog: pytest.LogCaptureFixture
) -> None:  # D6, F11
    disks, volume = LoopDisks(tmp_path, tmp_path / "by-id", keep=False), uuid.uuid4()
    disks.connect(volume, 1)
    device = disks.devices()[volume]
    with pathlib.Path(device).open("rb"):
        disks.disconnect(volume)

    me = f"{pathlib.Path('/proc/self/comm').read_text().strip()} ({os.getpid()})"
    assert caplog.messages == [f"volume {volume} was detached while {device} was in use by {me}"]


def test_only_the_file_system_of_the_copied_disk_is_held_still(
    tmp_path: pathlib.Path,
) -> None:  # as when it is unmounted between a look and the next, and the host's own lies below
    disks = LoopDisks(tmp_path, tmp_path / "by-id", keep=False)
    point = tmp_path / "point"
    point.mkdir()
    with ExitStack() as stack:
        stack.callback(disks.close)
        for _ in range(2):
            volume = uuid.uuid4()
            disks.connect(volume, 1)
            device = disks.devices()[volume]
            subprocess.run(["mkfs.ext4", "-q", device], check=True)
            subprocess.run(["mount", device, str(point)], check=True)
            stack.callback(subprocess.run, ["umount", str(point)], check=True)
        hidden = next(iter(disks.devices().values()))

        with frozen(hidden):
            writing = threading.Thread(target=(point / "file").write_text, args=("canary",))
            writing.start()
            writing.join(timeout=60)
            was_written = not writing.is_alive()

    assert was_written


def _blockdev(option: str, device: str) -> str:
    done = subprocess.run(["blockdev", option, device], capture_output=True, text=True, check=True)
    return done.stdout
